// What if: other parameters, tried in copies: who would be kept, forgotten or promoted differently, and at what price.

import { get, send } from "../api.js";
import { bars, color } from "../charts.js";
import { asTable, h, localTime, number, percent, short, state, table, time, whole } from "../dom.js";
import { airflow, link, openInAirflow } from "../route.js";

export const TITLE = "What if";
export const REFRESHES = true;
const COUNTS = { live: "live", forgotten: "forgotten", long_term: "long-term", in_mind: "in mind" };
const WAYS = {
  forgotten: "would be forgotten", kept: "would still be there", promoted: "would be long-term", not_promoted: "would not be long-term",
  in_mind: "would be in mind", out_of_mind: "would not be in mind", merged: "would count as repeats", apart: "would not count as repeats",
  superseded: "would be superseded", restated: "would not be superseded",
};

export function load(choices, signal) {
  return get("what-if", { run: choices.run }, signal).catch((error) => {
    // the run was started, and has not computed anything yet
    if (error.kind === "missing" && choices.run) return get("what-if", {}, signal).then(async (answer) => ({ ...answer, trial: null, waiting: choices.run, ...await get("what-if/run", { run: choices.run }, signal).catch(() => ({ state: null })) }));
    throw error;
  });
}

export function draw(answer, choices) {
  return h("div", { class: "stack" },
    h("p", { class: "intro" }, "What would the memory hold with other parameters? Both sides are computed from the same log, in copies: nothing changes before somebody approves."),
    ask(answer, choices),
    answer.waiting && h("section", { class: "card", role: "status" }, answer.state === "failed"
      ? [h("h2", {}, "It failed"), h("p", {}, "Nothing was computed, and nothing was changed. ", run(answer.waiting, "Its log says why"), "; then try again.")]
      : [h("h2", {}, "Being computed"), h("p", {}, "The result shows up here by itself. ", run(answer.waiting, "Watch the run"))]),
    answer.trial ? whole_(answer.trial) : !answer.waiting && state("Nothing was tried yet", "Press one of the buttons above: within a few minutes you see which memories would be kept or forgotten instead."),
    answer.trials.length > 0 && others(answer, choices));
}

function ask({ decay, threshold }, { agent }) {
  const said = h("p", { class: "quiet", role: "status" });
  const presets = [
    ["Slower decay", { decay: Math.max(0.1, decay * 0.7) }, `decay ${number(decay)} → ${number(Math.max(0.1, decay * 0.7))}`],
    ["Faster decay", { decay: Math.min(0.8, decay * 1.5) }, `decay ${number(decay)} → ${number(Math.min(0.8, decay * 1.5))}`],
    ["Forget less", { forgetting_threshold: Math.max(0.25, threshold - 0.1) }, `threshold ${percent(threshold)} → ${percent(Math.max(0.25, threshold - 0.1))}`],
    ["Smaller mind", { working_memory_capacity: 4 }, "4 memories in mind at once"],
  ];
  const start = async (parameters, button) => {
    button.disabled = true;
    said.textContent = "Starting";
    try {
      const { run_id } = await send("what-if", { parameters, agent: agent || null });
      location.hash = link("what_if", { agent, run: run_id });
    } catch (error) {
      said.textContent = error.message;
      button.disabled = false;
    }
  };
  const form = airflow("/dags/what_if");
  return h("section", { class: "card stack" },
    h("h2", {}, agent ? `Try it on ${agent}'s memories` : "Try it on all memories"),
    h("div", { class: "row" }, presets.map(([title, parameters, words]) =>
      h("button", { type: "button", class: "primary", title: words, onclick: (event) => start(parameters, event.currentTarget) }, title)),
    h("a", { href: form, onclick: (event) => openInAirflow(event, form) }, "All parameters: the form of the DAG what_if")),
    h("p", { class: "quiet" }, presets.map(([title, , words]) => `${title}: ${words}`).join(" · ")), said);
}

function run(id, words) {
  const path = airflow(`/dags/what_if/runs/${encodeURIComponent(id)}`);
  return h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, words);
}

// of the weights people try the last: the exponent of forgetting
function called(name) {
  return name === "fsrs_weights" ? "decay" : name.replaceAll("_", " ");
}

function value(name, side) {
  if (name === "fsrs_weights") return number(side.at(-1), 6);
  return typeof side === "number" ? number(side, 6) : JSON.stringify(side);
}

function whole_(trial) {
  const verdict = { promoted: ["good", "promoted: these are the parameters now"], rejected: ["idle", "rejected"] }[trial.decision] ?? ["warn", "undecided"];
  const missed = trial.oracles.filter((one) => one.now.pass && !one.then.pass);
  return h("div", { class: "stack" },
    h("section", { class: "card stack" },
      h("div", { class: "row spread" }, h("h2", {}, Object.entries(trial.parameters).map(([name, sides]) => `${called(name)}: ${value(name, sides.now)} → ${value(name, sides.then)}`).join(", ")),
        h("span", { class: `mark ${verdict[0]}` }, verdict[1], trial.decided_by ? ` by ${trial.decided_by}` : "")),
      h("p", { class: "quiet" }, trial.agent_id ? `The memories of ${trial.agent_id}` : "All memories", " as of ", time(trial.as_of), trial.since && [", counted since ", time(trial.since)], ". ",
        run(trial.run_id, trial.decision ? "Its run" : "Its run, where it can be approved"), "."),
      bars(`Memories now and then: ${Object.entries(COUNTS).map(([name, words]) => `${words} ${trial.counts[name].now} and ${trial.counts[name].then}`).join(", ")}`,
        Object.values(COUNTS), [["now", Object.keys(COUNTS).map((name) => trial.counts[name].now), color("c6")], ["then", Object.keys(COUNTS).map((name) => trial.counts[name].then), color("c1")]]),
      asTable("Counts", [
        { name: "memories", value: (row) => row.words },
        { name: "now", isNumber: true, value: (row) => row.now },
        { name: "then", isNumber: true, value: (row) => row.then },
      ], [...Object.entries(COUNTS).map(([name, words]) => ({ words, now: whole(trial.counts[name].now), then: whole(trial.counts[name].then) })),
        { words: "mean retention", now: percent(trial.counts.mean_retention.now), then: percent(trial.counts.mean_retention.then) }])),
    differences(trial),
    h("section", { class: "card" }, h("h2", {}, "Against published human data"),
      h("p", {}, h("span", { class: `mark ${missed.length ? "bad" : "good"}` }, missed.length ? `${missed.length} bounds that are met now would be missed` : "every bound that is met now would still be met")),
      asTable("Oracles", [
        { name: "data", value: (row) => row.dataset },
        { name: "measure", value: (row) => row.measure },
        { name: "now", isNumber: true, value: (row) => number(row.now.value) },
        { name: "then", isNumber: true, value: (row) => number(row.then.value) },
        { name: "error now (RMSE)", isNumber: true, value: (row) => number(row.now.rmse) },
        { name: "error then", isNumber: true, value: (row) => number(row.then.rmse) },
        { name: "bound", value: (row) => row.bound },
        { name: "then it is", value: (row) => h("span", { class: `mark ${row.then.pass ? "good" : "bad"}` }, row.then.pass ? "met" : "missed") },
      ], trial.oracles)));
}

function differences(trial) {
  const ways = Object.keys(WAYS).filter((way) => trial.differences[way] > 0);
  if (!ways.length) return h("section", { class: "card" }, h("h2", {}, "Memories that fare differently"), h("p", {}, "None: every memory would be where it is."));
  return h("div", { class: "columns half" }, ways.map((way) => h("section", { class: "card" },
    h("h2", {}, `${whole(trial.differences[way])} ${WAYS[way]}`),
    h("ul", { class: "list" }, trial.memories.filter((memory) => memory.difference === way).map((memory) =>
      h("li", {}, h("div", { class: "grow" },
        h("a", { class: "clamp", dir: "auto", href: link("why", { agent: memory.agent_id, id: memory.memory_id }) }, short(memory.content, 160)),
        h("div", { class: "quiet" }, fate("now", memory.now), " · ", fate("then", memory.then)))))),
    trial.differences[way] > trial.memories.filter((memory) => memory.difference === way).length && h("p", { class: "quiet" }, "The clearest cases."))));
}

function fate(side, { state: what, retention, demoted_at }) {
  const kept = retention === null ? "" : `, ${percent(retention)} retained`;
  return `${side}: ${what}${what === "forgotten" && demoted_at ? ` since ${localTime(demoted_at)}` : ""}${kept}`;
}

function others({ trials, trial }, { agent }) {
  return h("section", { class: "card" }, h("h2", {}, "What was tried"),
    table("What was tried", [
      { name: "when", value: (row) => h("a", { href: link("what_if", { agent, run: row.run_id }), "aria-current": row.run_id === trial?.run_id && "true" }, time(row.computed_at)) },
      { name: "parameters", value: (row) => Object.entries(row.parameters).map(([name, sides]) => `${called(name)} ${value(name, sides.then)}`).join(", ") },
      { name: "agent", value: (row) => row.agent_id ?? "all" },
      { name: "forgotten instead", isNumber: true, value: (row) => whole(row.differences.forgotten) },
      { name: "kept instead", isNumber: true, value: (row) => whole(row.differences.kept) },
      { name: "decision", value: (row) => row.decision ?? "undecided" },
    ], trials));
}
