// Health: how late, how much, what was forgotten, and what it was computed with.

import { get } from "../api.js";
import { axis, chart, color, legend, tooltip } from "../charts.js";
import { asTable, duration, h, localTime, number, table, time, whole } from "../dom.js";
import { airflow, openInAirflow } from "../route.js";

export const TITLE = "Health";
export const REFRESHES = true;
const LAYERS = { staging: "Taken in", short_term_memory: "Short-term", consolidation: "Consolidation", long_term_memory: "Long-term", semantic: "Semantic", ledger: "Decisions that hold" };
const COUNTS = { long_term_memory: { live: "live memories", forgotten: "forgotten", long_term: "long-term", backlog: "waiting for consolidation" } };

export async function load(choices, signal) {
  const [answer, airflows] = await Promise.all([
    get("health", { agent: choices.agent }, signal),
    get("runs", {}, signal).catch((error) => {
      if (error.name === "AbortError") throw error;
      return { trouble: error.message, runs: [], failed: [] };
    }),
  ]);
  return { ...answer, airflows };
}

export function draw(answer) {
  const metric = (layer, name) => answer.layers.find((row) => row.layer === layer && row.metric === name);
  const asOf = metric("long_term_memory", "live")?.measured_at;
  const lastNight = answer.nights.filter((row) => row.night <= asOf).at(-1)?.night;
  const inNight = (name) => answer.nights.filter((row) => row.night === lastNight && row.metric === name).reduce((sum, row) => sum + row.value, 0);
  return h("div", { class: "stack" },
    h("section", { class: "card" }, h("h2", {}, "The four rhythms"), rhythms(answer.clock)),
    h("ul", { class: "tiles" },
      Object.entries(COUNTS.long_term_memory).map(([name, words]) => tile(whole(metric("long_term_memory", name)?.value), words, asOf ? ["as of ", time(asOf)] : "no night has counted yet")),
      tile(lastNight ? whole(inNight("demoted")) : "–", "forgotten in the last night of changes", lastNight ? time(lastNight) : "no night yet"),
      tile(lastNight ? whole(inNight("restored")) : "–", "brought back by an access", lastNight ? time(lastNight) : "no night yet")),
    h("div", { class: "columns half" }, nights(answer.nights), lags(answer.lags)),
    h("div", { class: "columns half" }, failures(answer.airflows), durations(answer.airflows)),
    h("div", { class: "columns half" }, layers(answer.layers), runs(answer.runs)),
    parameters(answer));
}

function tile(big, words, foot) {
  return h("li", { class: "card tile" }, h("div", { class: "big" }, big), h("div", {}, words), h("div", { class: "quiet" }, foot));
}

function rhythms(clock) {
  const verdict = (row) => row.is_late === null ? h("span", { class: "mark idle" }, "never ran") : row.is_late ? h("span", { class: "mark bad" }, "late") : h("span", { class: "mark good" }, "on time");
  const dag = (row) => {
    const path = airflow(`/dags/${row.stage}`);
    return h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, row.stage);
  };
  return table("The four rhythms", [
    { name: "rhythm", value: dag },
    { name: "every", value: (row) => duration(row.period_s) },
    { name: "last published", value: (row) => (row.age_s === null ? "–" : time(row.published_at, { text: `${duration(row.age_s)} ago` })) },
    { name: "as of", value: (row) => (row.as_of ? time(row.as_of) : "–") },
    { name: "lag", isNumber: true, value: (row) => (row.lag_s === null ? "–" : duration(row.lag_s)) },
    { name: "state", value: verdict },
  ], clock);
}

function nights(rows) {
  const days = [...new Set(rows.map((row) => row.night))];
  const of = (name) => days.map((night) => rows.find((row) => row.night === night && row.metric === name)?.value ?? 0);
  if (!days.length) return h("section", { class: "card" }, h("h2", {}, "Forgotten and brought back"), h("p", { class: "quiet" }, "No night has judged the memories yet; nightly_decay does so at 02:00 UTC."));
  return h("section", { class: "card" }, h("h2", {}, "Forgotten and brought back"),
    chart(`Memories forgotten and restored in ${days.length} nights`, () => ({
      legend: legend(), tooltip: tooltip({ trigger: "axis" }),
      xAxis: axis({ type: "category", data: days.map((night) => new Date(night).toLocaleDateString(undefined, { month: "short", day: "numeric" })) }),
      yAxis: axis({ type: "value", minInterval: 1 }),
      series: [{ name: "forgotten", type: "bar", data: of("demoted"), itemStyle: { color: color("c2") } }, { name: "brought back", type: "bar", data: of("restored"), itemStyle: { color: color("c3") } }],
    }), { size: "low" }),
    asTable("Nights", [{ name: "night", value: (row) => time(row.night) }, { name: "what", value: (row) => (row.metric === "demoted" ? "forgotten" : "brought back") }, { name: "memories", isNumber: true, value: (row) => whole(row.value) }], rows));
}

function lags(rows) {
  const live = rows.filter((row) => row.lag_s < 86_400);
  if (!live.length) return h("section", { class: "card" }, h("h2", {}, "How late windows are published"), h("p", { class: "quiet" }, "There were only runs by hand, for past instants; they are late by design."));
  return h("section", { class: "card" }, h("h2", {}, "How late windows are published"),
    chart("Seconds from the end of a window to its publication", () => ({
      tooltip: tooltip({ trigger: "axis", formatter: ([item]) => `${localTime(item.data[0], true)}\n${duration(item.data[1])} after its end` }),
      xAxis: axis({ type: "time", axisLabel: { hideOverlap: true } }), yAxis: axis({ type: "value", name: "seconds" }),
      series: [{ type: "line", symbol: "none", data: live.map((row) => [row.as_of, row.lag_s]), lineStyle: { color: color("c1") }, areaStyle: { color: color("c1"), opacity: 0.12 } }],
    }), { size: "low" }),
    asTable("Windows", [{ name: "as of", value: (row) => time(row.as_of, { withSeconds: true }) }, { name: "lag", isNumber: true, value: (row) => duration(row.lag_s) }], [...live].reverse().slice(0, 60)));
}

function layers(rows) {
  if (!rows.length) return h("section", { class: "card" }, h("h2", {}, "Rows by layer"), h("p", { class: "quiet" }, "nightly_decay counts them; it has not run yet."));
  return h("section", { class: "card" }, h("h2", {}, "Rows by layer"),
    table("Rows by layer", [
      { name: "layer", value: (row) => LAYERS[row.layer] ?? row.layer },
      { name: "what", value: (row) => row.metric.replaceAll("_", " ") },
      { name: "count", isNumber: true, value: (row) => (row.metric.endsWith("_s") ? duration(row.value) : whole(row.value)) },
    ], rows.filter((row) => row.value !== null)));
}

function runs(rows) {
  const run = (row) => {
    const path = airflow(`/dags/${row.stage}/runs/${encodeURIComponent(row.run_id)}`);
    return h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, row.stage);
  };
  return h("section", { class: "card" }, h("h2", {}, "The last publications"),
    table("The last publications", [
      { name: "run", value: run },
      { name: "as of", value: (row) => time(row.as_of, { withSeconds: true }) },
      { name: "published", value: (row) => time(row.published_at, { withSeconds: true }) },
      { name: "written", isNumber: true, value: (row) => whole(row.rows_written) },
      { name: "deleted", isNumber: true, value: (row) => whole(row.rows_deleted) },
    ], rows));
}

function failures({ trouble, failed, days }) {
  const title = h("h2", {}, "Failed tasks and data tests");
  if (trouble) return h("section", { class: "card" }, title, h("p", { class: "quiet" }, trouble));
  if (!failed.length) return h("section", { class: "card" }, title, h("p", {}, h("span", { class: "mark good" }, `none in the last ${days} days`)));
  const log = (row) => {
    const index = row.map_index < 0 ? "" : `/mapped/${row.map_index}`;
    const path = airflow(`/dags/${row.dag_id}/runs/${encodeURIComponent(row.run_id)}/tasks/${row.task_id}${index}`);
    return h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, row.task_id);
  };
  return h("section", { class: "card" }, title, h("p", { class: "quiet" }, "The log of each says what, which, and what to do. A stage whose data tests fail publishes nothing."),
    table("Failed tasks", [
      { name: "task", value: log }, { name: "of", value: (row) => row.dag_id },
      { name: "what", value: (row) => h("span", { class: "mark bad" }, row.is_data_test ? "data tests" : "task") },
      { name: "when", value: (row) => time(row.end_date) }, { name: "tries", isNumber: true, value: (row) => row.try_number },
    ], failed));
}

function durations({ trouble, runs: all }) {
  const title = h("h2", {}, "How long runs take");
  if (trouble || !all.length) return h("section", { class: "card" }, title, h("p", { class: "quiet" }, trouble ?? "No run has ended yet."));
  const dags = [...new Set(all.map((row) => row.dag_id))].map((dag_id) => {
    const of = all.filter((row) => row.dag_id === dag_id);
    const seconds = of.map((row) => row.seconds).sort((a, b) => a - b);
    return { dag_id, last: of[0], median: seconds[Math.floor(seconds.length / 2)], longest: seconds.at(-1), count: of.length, failed: of.filter((row) => row.state === "failed").length };
  });
  const last = (row) => {
    const path = airflow(`/dags/${row.dag_id}/runs/${encodeURIComponent(row.last.run_id)}`);
    return h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, row.dag_id);
  };
  return h("section", { class: "card" }, title,
    table("How long runs take", [
      { name: "last run of", value: last },
      { name: "it took", isNumber: true, value: (row) => duration(row.last.seconds, true) },
      { name: "median", isNumber: true, value: (row) => duration(row.median, true) },
      { name: "longest", isNumber: true, value: (row) => duration(row.longest, true) },
      { name: "runs", isNumber: true, value: (row) => whole(row.count) },
      { name: "failed", isNumber: true, value: (row) => whole(row.failed) },
    ], dags));
}

function parameters({ parameters: rows, parameter_changes: changes }) {
  const drift = changes.length > 1 ? `They changed ${changes.length - 1} time(s) within the last publications.` : "They have not changed within the last publications.";
  return h("section", { class: "card" }, h("div", { class: "row spread" }, h("h2", {}, "Parameters"), h("a", { href: "docs/" }, "the models (dbt docs)")), h("p", { class: "quiet" }, drift),
    changes.length > 1 && table("Sets of parameters", [
      { name: "from", value: (row) => time(row.first_published_at) }, { name: "to", value: (row) => time(row.last_published_at) },
      { name: "publications", isNumber: true, value: (row) => whole(row.runs) }, { name: "hash", value: (row) => row.params_hash.slice(0, 12) },
    ], changes),
    h("details", {}, h("summary", {}, `All ${rows.length} of them`), table("Parameters", [
      { name: "parameter", value: (row) => row.name },
      { name: "value", value: (row) => (typeof row.value === "number" ? number(row.value, 6) : JSON.stringify(row.value)) },
      { name: "unit", value: (row) => row.unit },
      { name: "meaning", value: (row) => row.meaning },
      { name: "source", value: (row) => row.source },
    ], rows)));
}
