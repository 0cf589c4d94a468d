// Windows: an hour of 30-second windows as a timeline.

import { get } from "../api.js";
import { axis, chart, color, legend, tooltip } from "../charts.js";
import { asTable, duration, h, localTime, short, state, time, whole } from "../dom.js";
import { airflow, link, note, openInAirflow } from "../route.js";

export const TITLE = "Windows";
export const REFRESHES = true;

export async function load(choices, signal) {
  const answer = await get("windows", { agent: choices.agent }, signal);
  const detail = choices.window ? await get("windows/memories", { agent: choices.agent, start: choices.window }, signal) : null;
  return { ...answer, detail, chosen: choices.window };
}

export function draw(answer, choices) {
  const grid = lay(answer);
  const late = grid.filter((slot) => slot.status === "late").length;
  const missed = grid.filter((slot) => slot.status === "missed").length;
  if (!grid.some((slot) => slot.runs.length || slot.window)) {
    return state("No windows in this hour", "Nothing was in mind and no run published. Windows show up when memories are written, or recalled.");
  }
  const panel = h("section", { class: "card", "aria-live": "polite" });
  const choose = async (start) => {
    note({ window: start });
    panel.replaceChildren(h("p", { class: "quiet" }, "Loading the window"));
    const found = await get("windows/memories", { agent: choices.agent, start }).catch((error) => ({ trouble: error.message, memories: [] }));
    panel.replaceChildren(...detail(grid.find((slot) => slot.start === start), found, answer.seconds));
  };
  const picked = grid.find((slot) => slot.start === answer.chosen) ?? [...grid].reverse().find((slot) => slot.window) ?? grid.at(-1);
  if (answer.detail && picked.start === answer.chosen) panel.append(...detail(picked, answer.detail, answer.seconds));
  else choose(picked.start).catch((error) => panel.replaceChildren(h("p", {}, error.message)));
  return h("div", { class: "stack" },
    h("p", { class: "intro" }, `The ${answer.count} windows of ${answer.seconds} seconds before `, time(answer.end, { withSeconds: true }), ". Bars: memories accessed in a window, and those carried on from before. Marks: windows that were published late, or without a run of their own (the next run made up for them)."),
    h("section", { class: "card" },
      h("div", { class: "row spread" }, h("h2", {}, "The last hour"),
        h("div", { class: "row" },
          h("span", { class: `mark ${late ? "warn" : "good"}` }, `${late} late`),
          h("span", { class: `mark ${missed ? "idle" : "good"}` }, `${missed} without a run`))),
      chart(`Timeline of ${answer.count} windows: ${late} late, ${missed} without a run`, () => options(grid), {
        onclick: (event) => choose(grid[event.dataIndex].start),
      }),
      asTable("Windows", [
        { name: "window", value: (slot) => h("button", { type: "button", onclick: () => choose(slot.start) }, localTime(slot.start, true)) },
        { name: "accessed", isNumber: true, value: (slot) => whole(slot.window?.accessed ?? 0) },
        { name: "carried on", isNumber: true, value: (slot) => whole(slot.window?.carried ?? 0) },
        { name: "in mind", isNumber: true, value: (slot) => whole(slot.window?.together ?? 0) },
        { name: "published", value: (slot) => slot.words },
      ], grid.filter((slot) => slot.window || slot.runs.length).reverse())),
    panel);
}

// Every window of the hour, whether or not anything happened in it.
function lay({ end, seconds, count, windows, runs }) {
  const length = seconds * 1000;
  const last = Math.ceil(new Date(end) / length) * length - length;
  const grid = Array.from({ length: count }, (_, place) => ({ at: last - (count - 1 - place) * length, runs: [], window: null }));
  const slotAt = (at) => grid[Math.round((Math.floor(at / length) * length - grid[0].at) / length)];
  for (const window_ of windows) {
    const slot = slotAt(new Date(window_.window_start).getTime());
    if (slot) slot.window = window_;
  }
  for (const run of runs) slotAt(new Date(run.as_of).getTime() - 1)?.runs.push(run);
  const first = grid.findIndex((slot) => slot.runs.length);
  grid.forEach((slot, place) => {
    slot.start = new Date(slot.at).toISOString();
    const run = slot.runs.at(-1);
    if (run) {
      // a run for a past instant is a run by hand, not a late one
      slot.status = run.lag_s > 86_400 ? "by hand" : run.lag_s > seconds ? "late" : "on time";
      slot.words = slot.status === "by hand" ? "by hand, for a past instant" : `${slot.status}, ${duration(run.lag_s)} after its end`;
    } else {
      slot.status = first >= 0 && place > first ? "missed" : "none";
      slot.words = slot.status === "missed" ? "no run of its own" : "no run";
    }
  });
  return grid;
}

function options(grid) {
  const mark = (status, y) => grid.map((slot) => (slot.status === status ? y : null));
  return {
    tooltip: tooltip({ trigger: "axis", formatter: (items) => {
      const slot = grid[items[0].dataIndex];
      const counts = slot.window ? `accessed ${slot.window.accessed}\ncarried on ${slot.window.carried}\nin mind ${slot.window.together}` : "nothing in mind";
      return `${localTime(slot.start, true)}\n${counts}\n${slot.words}`;
    } }),
    legend: legend(),
    grid: { left: 8, right: 16, top: 40, bottom: 8, containLabel: true },
    xAxis: axis({ type: "category", data: grid.map((slot) => new Date(slot.at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })), axisLabel: { interval: 19 } }),
    yAxis: axis({ type: "value", minInterval: 1, name: "memories" }),
    series: [
      { name: "accessed", type: "bar", stack: "mind", data: grid.map((slot) => slot.window?.accessed ?? 0), itemStyle: { color: color("c1") } },
      { name: "carried on", type: "bar", stack: "mind", data: grid.map((slot) => slot.window?.carried ?? 0), itemStyle: { color: color("c3"), opacity: 0.7 } },
      { name: "in mind together", type: "line", step: "middle", symbol: "none", data: grid.map((slot) => slot.window?.together ?? 0), lineStyle: { color: color("c5"), width: 1.5 }, itemStyle: { color: color("c5") } },
      { name: "late", type: "scatter", symbol: "triangle", symbolSize: 9, data: mark("late", 0), itemStyle: { color: color("warn") } },
      { name: "no run", type: "scatter", symbol: "emptyCircle", symbolSize: 7, data: mark("missed", 0), itemStyle: { color: color("soft") } },
    ],
  };
}

function detail(slot, found, seconds) {
  const run = slot.runs.at(-1);
  const path = run && airflow(`/dags/short_term_memory/runs/${encodeURIComponent(run.run_id)}`);
  const title = h("div", { class: "row spread" },
    h("h2", {}, "Window from ", time(slot.start, { withSeconds: true })),
    run ? h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, "its DAG run") : h("span", { class: "quiet" }, slot.words));
  const rest = found.trouble ? h("p", {}, found.trouble)
    : found.memories.length ? h("ul", { class: "list" }, found.memories.map((memory) =>
      h("li", {},
        h("span", { class: "badge" }, memory.is_accessed ? "accessed" : "carried on"),
        h("span", { class: "grow" }, h("a", { href: link("why", { agent: memory.agent_id, id: memory.memory_id }), dir: "auto" }, short(memory.content, 160)), h("div", { class: "quiet" }, memory.agent_id)))))
      : h("p", { class: "quiet" }, `Nothing was accessed in these ${seconds} seconds, and nothing was left in mind.`);
  return [title, run && h("p", { class: "quiet" }, slot.words), rest, found.has_more && h("p", { class: "quiet" }, "and more")].filter(Boolean);
}
