// Why: what a question brings to mind and by which evidence, and one memory's whole story.

import { get, send } from "../api.js";
import { swatch } from "../charts.js";
import { h, number, short, state, time } from "../dom.js";
import { airflow, go, link, openInAirflow } from "../route.js";

export const TITLE = "Why";
export const NEEDS_AGENT = true;
const TINTS = { encode: 0, retrieve: 0, restudy: 2, replay: 4, promote: 2, demote: 1, restore: 2, prune: 6, supersede: 1, merge: 6, delete: 7 };

export async function load(choices, signal) {
  if (!choices.agent) return {};
  const [found, story] = await Promise.all([
    choices.q ? get("recall", { agent: choices.agent, question: choices.q, forgotten: choices.forgotten }, signal) : null,
    choices.id ? get("story", { agent: choices.agent, id: choices.id }, signal) : null,
  ]);
  return { found, story };
}

export function draw(answer, choices) {
  if (!choices.agent) return state("Nothing to ask", "There are no memories yet.");
  const story = answer.story ? tell(answer.story)
    : state("A memory's story", answer.found ? "Choose a memory to see when it was encoded, recalled, replayed, promoted or forgotten, and by which numbers." : "Ask something, and choose one of the memories that come to mind.");
  return h("div", { class: "stack" }, form(choices),
    h("div", { class: answer.found ? "columns two" : "columns" }, answer.found && results(answer.found, choices), story));
}

function form(choices) {
  const question = h("input", { id: "question", type: "search", class: "grow", maxlength: 2000, value: choices.q ?? "", placeholder: "What do you want to know?", required: true });
  const forgotten = h("select", { id: "forgotten" }, [["cued", "forgotten ones if the cue is strong"], ["all", "all forgotten ones too"], ["none", "nothing forgotten"]].map(([value, text]) =>
    h("option", { value, selected: value === (choices.forgotten ?? "cued") }, text)));
  return h("form", { class: "card row", role: "search", onsubmit: (event) => { event.preventDefault(); go("why", { agent: choices.agent, q: question.value, forgotten: forgotten.value === "cued" ? null : forgotten.value }); } },
    h("label", { class: "inline", for: "question" }, `Ask ${choices.agent}`), question,
    h("label", { class: "hidden-text", for: "forgotten" }, "Forgotten memories"), forgotten,
    h("button", { type: "submit", class: "primary" }, "Recall"),
    h("span", { class: "quiet" }, "Looking here strengthens nothing."));
}

function results({ memories, warning }, choices) {
  if (!memories.length) return state("Nothing comes to mind", "No memory matches. Try other words, or let forgotten ones in.");
  const names = [...new Set(memories.flatMap((memory) => Object.keys(evidence(memory.parts))))].sort();
  const best = Math.max(...memories.map((memory) => Object.values(evidence(memory.parts)).reduce((sum, part) => sum + part, 0)), 1e-9);
  return h("section", { class: "card" },
    h("h2", {}, `${memories.length} memories come to mind`),
    warning && h("p", { class: "quiet" }, warning),
    h("div", { class: "legend" }, names.map((name, place) => h("span", {}, h("i", { class: "swatch", "--swatch": swatch(place) }), name.replaceAll("_", " ")))),
    h("ol", {}, memories.map((memory) => {
      const parts = evidence(memory.parts);
      return h("li", { class: "found", "aria-current": memory.memory_id === choices.id && "true" },
        h("a", { href: link("why", { ...choices, id: memory.memory_id }) },
          h("span", { class: "words clamp", dir: "auto" }, short(memory.content, 220)),
          h("span", { class: "parts", "aria-hidden": "true" }, names.map((name, place) => parts[name] > 0 && h("i", { "--swatch": swatch(place), "--share": (parts[name] / best).toFixed(4) })))),
        h("div", { class: "row spread quiet" },
          h("span", {}, time(memory.occurred_at), " · score ", h("strong", {}, number(memory.score))),
          memory.state && memory.state !== "live" && h("span", { class: "badge gone" }, memory.state),
          memory.is_long_term && h("span", { class: "badge long" }, "long-term")),
        h("details", {}, h("summary", {}, "The parts of the score"), numbers(memory.parts)));
    })));
}

// the parts that add up; the others (flags, nested detail) are shown as they are
function evidence(parts) {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => typeof value === "number" && value > 0));
}

function tell(story) {
  const { memory } = story;
  return h("section", { class: "card stack", "aria-label": "Story" },
    h("div", { class: "row spread" }, h("h2", {}, memory.memory_id), h("span", { class: "quiet" }, [memory.speaker, memory.session_id].filter(Boolean).join(" · "))),
    h("blockquote", { dir: "auto", tabindex: 0 }, memory.content ?? "(no text)"),
    h("p", {}, h("strong", {}, story.now)),
    actions(story),
    h("p", {}, h("a", { href: link("forgetting", { agent: memory.agent_id, ids: JSON.stringify([memory.memory_id]) }) }, "its forgetting curve"), " · ",
      h("a", { href: link("network", { agent: memory.agent_id, concept: memory.memory_id }) }, "what it hangs together with")),
    h("ol", { class: "story" }, story.story.map((event) => h("li", { "--swatch": swatch(TINTS[event.what] ?? 6) },
      h("div", { class: "quiet" }, time(event.at)),
      h("div", {}, event.words),
      Object.keys(event.numbers).length > 0 && h("details", {}, h("summary", {}, "The numbers"), numbers(event.numbers))))),
    h("details", {}, h("summary", {}, "All that is known of it"), numbers(story.state)));
}

// What one may do about a memory. Each goes through the pipeline: an access that the next window pulls, or a run of a DAG.
function actions({ memory, state: known }) {
  const said = h("p", { class: "quiet", role: "status" });
  const key = { agent: memory.agent_id, id: memory.memory_id };
  const ask = async (path, body, words) => {
    said.replaceChildren("Asking");
    try {
      said.replaceChildren(...[words(await send(path, body))].flat());
      return true;
    } catch (error) {
      said.replaceChildren(error.message);
      return false;
    }
  };
  const button = (title, about, onclick, kind = "") => h("button", { type: "button", title: about, class: kind, onclick }, title);
  const once = (path, words) => async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    if (!(await ask(path, key, () => words))) pressed.disabled = false;
  };
  const reason = h("input", { id: "reason", type: "text", class: "grow", required: true, minlength: 3, maxlength: 500, placeholder: "erasure request, ticket 123", autocomplete: "off" });
  const confirm = h("form", { class: "stack danger", hidden: true, "aria-label": "Forget for good", onsubmit: async (event) => {
    event.preventDefault();
    const done = await ask("forget", { ...key, reason: reason.value }, ({ dag_id, run_id }) => {
      const path = airflow(`/dags/${dag_id}/runs/${encodeURIComponent(run_id)}`);
      return ["It is being removed from every layer: ", h("a", { href: path, onclick: (click) => openInAirflow(click, path) }, "watch the run"), "."];
    });
    if (done) confirm.hidden = true;
  } },
    h("p", {}, "Removes the memory from every layer, backups and logs included. This cannot be undone, and the source's own row stays until you delete it there."),
    h("div", { class: "row" }, h("label", { for: "reason" }, "Reason, kept in the receipt"), reason,
      h("button", { type: "submit", class: "primary" }, "Forget for good"), button("Cancel", "Leave it as it is", () => { confirm.hidden = true; })));
  return h("div", { class: "stack" },
    h("div", { class: "row", role: "group", "aria-label": "What you can do" },
      known.state !== "forgotten" && button("Rehearse", "Meet it again: it becomes more stable with the next window", once("rehearse", "Noted: the next window takes it up, and the memory becomes more stable.")),
      known.state === "forgotten" && button("Restore", "Recall it: the next window brings it back", once("restore", "Noted: the next window brings it back.")),
      button("Forget for good", "Opens a form that asks why", () => { confirm.hidden = !confirm.hidden; if (!confirm.hidden) reason.focus(); })),
    confirm, said);
}

function numbers(values) {
  const flat = Object.entries(values).flatMap(([name, value]) =>
    value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).map(([inner, one]) => [`${name}: ${inner}`, one]) : [[name, value]]);
  const show = (value) => Array.isArray(value) || (value && typeof value === "object") ? JSON.stringify(value)
    : typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? time(value, { withSeconds: true }) : value === null ? "–" : typeof value === "number" ? number(value, 6) : String(value);
  return h("dl", { class: "numbers" }, flat.map(([name, value]) => h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, show(value)))));
}
