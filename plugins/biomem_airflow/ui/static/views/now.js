// Now: the slots of each agent's working memory.

import { get } from "../api.js";
import { between, duration, h, pages, percent, short, state, time } from "../dom.js";
import { go, link } from "../route.js";

export const TITLE = "Now";
export const REFRESHES = true;

export function load(choices, signal) {
  return get("now", { agent: choices.agent, page: choices.page ?? 0 }, signal);
}

export function draw(answer, choices) {
  if (!answer.agents.length) {
    if (answer.is_empty) {
      return state("No memories yet", "What agents write into the source table shows up here with the next window.",
        h("p", {}, "To load a file of memories: ", h("code", {}, "biomem load FILE"), ". For a sample life to look around in: ", h("code", {}, "biomem down"), ", ", h("code", {}, "biomem demo"), ", ", h("code", {}, "biomem up"), "."));
    }
    const who = choices.agent ? `${choices.agent} has nothing` : "No agent has anything";
    return h("div", { class: "stack" },
      state("Nothing in mind", `${who} in working memory: what was not touched for a few minutes leaves it. The next memory that is written or recalled shows up with the next window.`),
      answer.last.map((agent) => lately(agent, answer.clock[0].as_of)));
  }
  const as_of = answer.clock[0].as_of;
  return [
    h("p", { class: "intro" }, `What each agent holds in mind at the end of the last window: at most ${answer.capacity} memories, the most active first. The bar is the chance that a memory comes to mind when it is asked for.`),
    ...answer.agents.map((agent) => section(agent, answer.capacity, as_of)),
    pages(answer.page, answer.page_size, answer.total, (page) => go("now", { ...choices, page: page || null })),
  ].filter(Boolean);
}

function section(agent, capacity, as_of) {
  const held = [...agent.slots];
  const free = Math.max(0, capacity - held.length);
  return h("section", { class: "agent", "aria-label": `Working memory of ${agent.agent_id}` },
    h("div", { class: "row" }, h("h2", {}, agent.agent_id), h("span", { class: "quiet" }, `${held.length} of ${capacity} slots taken`)),
    h("ol", { class: "slots" },
      held.map((slot) => card(slot, agent.agent_id, as_of)),
      Array.from({ length: free }, () => h("li", { class: "card slot free" }, "free"))));
}

function lately({ agent_id, window_end, memories }, as_of) {
  return h("section", { class: "card", "aria-label": `Last in mind of ${agent_id}` },
    h("div", { class: "row" }, h("h2", {}, `Last in mind of ${agent_id}`),
      h("span", { class: "quiet" }, time(window_end), `, ${duration(between(window_end, as_of))} before this picture`)),
    h("ul", { class: "list" }, memories.map((memory) => h("li", {},
      h("a", { class: "grow clamp", dir: "auto", href: link("why", { agent: agent_id, id: memory.memory_id }) }, short(memory.content, 260)),
      memory.state === "forgotten" && h("span", { class: "badge" }, "forgotten since")))));
}

function card(slot, agent, as_of) {
  const chance = slot.chance ?? 0;
  return h("li", { class: "card slot" },
    h("div", { class: "row" },
      h("span", { class: "rank", "aria-label": `rank ${slot.rank}` }, slot.rank),
      h("div", { class: "meter", role: "meter", "aria-label": "chance to come to mind", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(chance * 100), title: `activation ${slot.activation.toFixed(2)}` },
        h("span", { class: "bar" }, h("i", { "--share": chance.toFixed(4) })), percent(chance))),
    h("a", { class: "cover", href: link("why", { agent, id: slot.memory_id }) },
      h("span", { class: "text", dir: "auto" }, short(slot.content, 260))),
    h("div", { class: "foot" },
      h("span", {}, time(slot.last_accessed_at, { text: `accessed ${duration(between(slot.last_accessed_at, as_of), true)} before` })),
      slot.is_long_term && h("span", { class: "badge long" }, "long-term")));
}
