// Forgetting: the curves of chosen memories, what happened to them, and the day each falls below the threshold.

import { get } from "../api.js";
import { axis, chart, color, legend, swatch, tooltip } from "../charts.js";
import { asTable, duration, between, h, localTime, number, pages, percent, short, state, time } from "../dom.js";
import { go, link, note } from "../route.js";

export const TITLE = "Forgetting";
export const NEEDS_AGENT = true;
const DAY_MS = 86_400_000;
const MOST = 8;
const DELAYS_S = [1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400];
const FIRST = 3;
const WHAT = {
  retrieve: ["recalled", "circle"], restudy: ["met again", "rect"], repeat: ["said again", "rect"], replay: ["replayed in sleep", "diamond"],
  demote: ["forgotten", "triangle"], restore: ["restored", "arrow"], promote: ["promoted", "pin"], merge: ["merged", "rect"], supersede: ["superseded", "triangle"], delete: ["deleted", "triangle"],
};

export async function load(choices, signal) {
  const [people, answer] = await Promise.all([
    get("forgetting/people", {}, signal),
    choices.agent ? get("forgetting", { agent: choices.agent, search: choices.search, page: choices.page ?? 0 }, signal) : null,
  ]);
  if (!answer) return { people };
  const chosen = choices.ids ? JSON.parse(choices.ids) : answer.memories.slice(0, FIRST).map((memory) => memory.memory_id);
  const curves = chosen.length ? await get("forgetting/curves", { agent: choices.agent, id: chosen }, signal) : { ...answer, memories: [], marks: [] };
  return { ...answer, people, chosen, curves };
}

export function draw(answer, choices) {
  const people = humans(answer.people.studies);
  if (!choices.agent) return h("div", { class: "stack" }, state("Nothing to forget", "There are no memories yet."), people);
  if (!answer.total && !choices.search && choices.page === undefined) {
    return h("div", { class: "stack" }, state("Nothing to forget", `${choices.agent} has no live memory that a night could forget.`), lately(answer.forgotten, choices.agent), people);
  }
  const figure = h("section", { class: "card" });
  let chosen = [...answer.chosen];
  const redraw = (curves) => figure.replaceChildren(...curve(curves, choices.agent));
  redraw(answer.curves);
  const choose = async (id, isChosen) => {
    chosen = isChosen ? [...chosen, id].slice(-MOST) : chosen.filter((one) => one !== id);
    note({ ids: JSON.stringify(chosen) });
    boxes.forEach((box) => { box.checked = chosen.includes(box.value); });
    redraw(chosen.length ? await get("forgetting/curves", { agent: choices.agent, id: chosen }) : { ...answer.curves, memories: [], marks: [] });
  };
  const boxes = [];
  const item = (memory) => {
    const box = h("input", { type: "checkbox", value: memory.memory_id, "aria-label": `Draw ${short(memory.content, 60)}`, onchange: (event) => choose(memory.memory_id, event.target.checked) });
    box.checked = chosen.includes(memory.memory_id);
    boxes.push(box);
    return h("li", {}, box, h("div", { class: "grow" },
      h("div", { class: "clamp", dir: "auto" }, short(memory.content, 200)),
      h("div", { class: "quiet" }, `${percent(memory.retention)} retained · `, falls(memory, answer.at))),
      memory.is_long_term && h("span", { class: "badge long" }, "long-term"));
  };
  const latest = lately(answer.forgotten, choices.agent);
  const search = h("input", { id: "search", type: "search", value: choices.search ?? "", placeholder: "words in the text", "aria-label": "Search the memories" });
  return h("div", { class: "stack" },
    h("p", { class: "intro" }, `A memory below ${percent(answer.threshold)} retention is demoted in the next night. It is never deleted, and the next access brings it back. `,
      answer.forgotten.length > 0 && h("button", { type: "button", class: "link", onclick: () => latest.scrollIntoView({ behavior: "smooth" }) }, "Forgotten last, and why")),
    h("div", { class: "columns two" },
      h("section", { class: "card" },
        h("div", { class: "row spread" }, h("h2", {}, "Next to be forgotten"), h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); go("forgetting", { agent: choices.agent, search: search.value }); } }, search)),
        answer.memories.length ? h("ul", { class: "list" }, answer.memories.map(item)) : h("p", { class: "quiet" }, "No live memory holds these words."),
        pages(answer.page, answer.page_size, answer.total, (page) => go("forgetting", { ...choices, page: page || null, ids: null }))),
      h("div", { class: "stack" }, figure, latest, people)));
}

function lately(forgotten, agent) {
  const title = h("h2", {}, "Forgotten last, and why");
  if (!forgotten.length) return h("section", { class: "card" }, title, h("p", { class: "quiet" }, "No night has forgotten anything yet."));
  return h("section", { class: "card" }, title, h("ul", { class: "list" }, forgotten.map((memory) =>
    h("li", {}, h("div", { class: "grow" },
      h("a", { class: "clamp", dir: "auto", href: link("why", { agent, id: memory.memory_id }) }, short(memory.content, 160)),
      h("div", { class: "quiet" }, time(memory.decided_at), `: ${memory.words.replace(/^forgotten \d{4}-\d\d-\d\d: /, "")}`)),
      memory.state !== "forgotten" && h("span", { class: "badge" }, "came back")))));
}

function falls(memory, at) {
  const seconds = between(at, memory.falls_at);
  return time(memory.falls_at, { text: seconds <= 0 ? "forgotten with the next night" : `forgotten in ${duration(seconds)} if nothing happens` });
}

// FSRS-6: .9 after one stability; the same law as memory.retention
function retention(days, stability, decay) {
  return (1 + (0.9 ** (-1 / decay) - 1) * Math.max(days, 0) / stability) ** -decay;
}

function curve({ memories, marks, at, decay, threshold }, agent) {
  const title = h("h2", {}, "Retention");
  if (!memories.length) return [title, h("p", { class: "quiet" }, "Choose a memory to draw its curve.")];
  const today = new Date(at).getTime();
  const ends = memories.map((memory) => new Date(memory.falls_at).getTime());
  const first = Math.min(...memories.map((memory) => new Date(memory.last_accessed_at).getTime()), ...marks.map((mark) => new Date(mark.at).getTime()));
  const last = Math.min(Math.max(today + 7 * DAY_MS, ...ends) + 3 * DAY_MS, today + 3650 * DAY_MS);
  const label = memories.map((memory) => `${short(memory.content, 40)}: ${percent(memory.retention)} now, below the threshold on ${localTime(memory.falls_at)}`).join(". ");
  const series = () => memories.flatMap((memory, place) => {
    const from = new Date(memory.last_accessed_at).getTime();
    const tint = color(`c${(place % 8) + 1}`);
    const points = Array.from({ length: 161 }, (_, step) => {
      const when = from + (last - from) * (step / 160) ** 2;
      return [when, retention((when - from) / DAY_MS, memory.stability_days, decay)];
    });
    const past = points.filter(([when]) => when <= today);
    const now_ = [today, retention((today - from) / DAY_MS, memory.stability_days, decay)];
    const name = short(memory.content, 34);
    const own = marks.filter((mark) => mark.memory_id === memory.memory_id);
    return [
      { name, type: "line", symbol: "none", data: today > from ? [...past, now_] : past, lineStyle: { color: tint, width: 2.5 }, itemStyle: { color: tint },
        markLine: place ? undefined : { silent: true, symbol: "none", label: { color: color("soft"), formatter: (line) => line.name }, lineStyle: { color: color("soft") },
          data: [{ name: `forgotten below ${percent(threshold)}`, yAxis: threshold, label: { position: "insideStartTop" } }, { name: "as of", xAxis: today }] } },
      { name, type: "line", symbol: "none", data: [now_, ...points.filter(([when]) => when > today)], lineStyle: { color: tint, width: 2, type: "dashed" }, itemStyle: { color: tint }, tooltip: { show: false } },
      { name, type: "scatter", data: own.map((mark) => ({ value: [new Date(mark.at).getTime(), 1.06 + 0.045 * place], what: mark.what, symbol: WHAT[mark.what]?.[1] })), symbolSize: 9, itemStyle: { color: tint } },
      { name, type: "scatter", data: [{ value: [ends[place], threshold], what: "falls" }], symbol: "emptyCircle", symbolSize: 10, itemStyle: { color: tint } },
    ];
  });
  return [
    title,
    h("p", { class: "quiet" }, "Solid up to now, dashed if nothing happens; the open circle is the day below the threshold. Marks above: recalls, repeats, replays in sleep, decisions."),
    chart(label, () => ({
      legend: legend(),
      tooltip: tooltip({ formatter: (item) => item.data.what
        ? `${item.data.what === "falls" ? "falls below the threshold" : WHAT[item.data.what]?.[0] ?? item.data.what}\n${localTime(item.data.value[0], true)}`
        : `${item.seriesName}\n${localTime(item.data[0])}\n${percent(item.data[1])} retained` }),
      xAxis: axis({ type: "time", min: first, max: last, axisLabel: { hideOverlap: true } }),
      yAxis: axis({ type: "value", min: 0, max: 1.06 + 0.045 * memories.length, interval: 0.2, axisLabel: { formatter: (value) => (value <= 1 ? percent(value) : "") } }),
      series: series(),
    })),
    h("ul", { class: "list" }, memories.map((memory, place) => h("li", {},
      h("span", { class: "swatch", "--swatch": swatch(place) }),
      h("span", { class: "grow" }, h("a", { href: link("why", { agent, id: memory.memory_id }), dir: "auto" }, short(memory.content, 110)),
        h("div", { class: "quiet" }, `stability ${number(memory.stability_days)} days · `, falls(memory, at)))))),
    asTable("What happened to these memories", [
      { name: "when", value: (mark) => time(mark.at) },
      { name: "what", value: (mark) => WHAT[mark.what]?.[0] ?? mark.what },
      { name: "memory", value: (mark) => short(memories.find((memory) => memory.memory_id === mark.memory_id)?.content, 60) },
    ], marks),
  ];
}

function humans(studies) {
  return h("section", { class: "card" },
    h("h2", {}, "The same curves over what people retained"),
    h("p", { class: "quiet" }, "Points: published experiments. Lines: the model as it is shipped."),
    chart(`Retention of people and of the model in ${studies.length} studies`, () => ({
      legend: legend(),
      tooltip: tooltip({ formatter: (item) => `${item.seriesName}\nafter ${duration(item.data[0])}\n${percent(item.data[1])} retained` }),
      grid: { left: 8, right: 16, top: 40, bottom: 24, containLabel: true },
      xAxis: axis({ type: "log", name: "delay", nameLocation: "middle", nameGap: 28, axisTick: { customValues: DELAYS_S },
        axisLabel: { customValues: DELAYS_S, formatter: (value) => duration(value), hideOverlap: true } }),
      yAxis: axis({ type: "value", min: 0, max: 1, axisLabel: { formatter: percent } }),
      series: studies.flatMap((study, place) => {
        const tint = color(`c${place + 1}`);
        return [
          { name: study.name, type: "scatter", data: study.observed, symbolSize: 8, symbol: ["circle", "rect", "triangle"][place], itemStyle: { color: tint } },
          { name: study.name, type: "line", data: study.model, symbol: "none", lineStyle: { color: tint, width: 2 }, itemStyle: { color: tint } },
        ];
      }),
    })),
    asTable("Retention of people", [
      { name: "study", value: (row) => row.name },
      { name: "delay", value: (row) => duration(row.point[0]) },
      { name: "retained", isNumber: true, value: (row) => percent(row.point[1]) },
      { name: "source", value: (row) => row.source },
    ], studies.flatMap((study) => study.observed.map((point) => ({ ...study, point })))));
}
