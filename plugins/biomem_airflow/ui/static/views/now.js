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
    const who = choices.agent ? `${choices.agent} has` : "No agent has";
    return state("Nothing in mind", `${who} anything in working memory: what was not touched for a few minutes leaves it. The next memory that is written or recalled shows up with the next window.`);
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
