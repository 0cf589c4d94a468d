// The frame of the page: tabs, agent, clock, theme, and which view is shown.

import { Trouble, get } from "./api.js";
import { forget } from "./charts.js";
import { duration, h, state, time } from "./dom.js";
import { pickAgents } from "./agents.js";
import { airflow, go, link, note, openInAirflow, read } from "./route.js";
import * as now from "./views/now.js";
import * as windows from "./views/windows.js";
import * as forgetting from "./views/forgetting.js";
import * as network from "./views/network.js";
import * as why from "./views/why.js";
import * as what_if from "./views/what_if.js";
import * as health from "./views/health.js";

const VIEWS = { now, windows, forgetting, network, why, what_if, health };
const REFRESH_MS = 15_000;
const page = { view: document.getElementById("view"), clock: document.getElementById("clock"), tabs: document.getElementById("tabs") };
let shown = null; // what is on the page: its address, the answer it was drawn from, and how to stop it

function drawTabs(current, agent) {
  page.tabs.replaceChildren(...Object.entries(VIEWS).map(([name, view]) =>
    h("a", { href: link(name, { agent }), "aria-current": name === current && "page" }, view.TITLE)));
  page.tabs.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function drawClock(clock) {
  const [window_] = clock;
  if (!window_.as_of) {
    page.clock.replaceChildren(h("span", { class: "mark idle" }, "Nothing was published yet"));
    return;
  }
  const verdict = window_.is_late
    ? h("span", { class: "mark bad" }, "late: the 30-second windows are not running")
    : h("span", { class: "mark good" }, "on time");
  page.clock.replaceChildren(
    h("span", {}, "As of ", h("strong", {}, time(window_.as_of, { withSeconds: true }))),
    h("span", {}, "last window published ", h("strong", {}, `${duration(window_.age_s)} ago`)),
    verdict);
}

function trouble(error, retry) {
  const again = h("button", { type: "button", class: "primary", onclick: retry }, "Try again");
  if (error.kind === "empty") {
    const path = airflow("/dags/short_term_memory");
    const dag = h("a", { href: path, onclick: (event) => openInAirflow(event, path) }, "the DAG short_term_memory");
    return state("No memories yet", error.message, h("p", {}, "Open ", dag, ", switch it on, and look here again after its first run."), again);
  }
  const titles = { signin: "Signed out", missing: "Not found", database: "The memory's database does not answer", connection: "No connection to the memory" };
  return state(titles[error.kind] || "Airflow does not answer", error.message, again);
}

async function show({ isRefresh = false } = {}) {
  const { view: wanted, choices } = read();
  const name = VIEWS[wanted] ? wanted : "now";
  const view = VIEWS[name];
  if (isRefresh && (!shown?.answer || !view.REFRESHES || page.view.contains(document.activeElement) && document.activeElement.matches("input, select"))) return;
  shown?.stop?.abort();
  const stop = new AbortController();
  const before = shown;
  shown = { address: location.hash, stop, answer: isRefresh ? before.answer : null, text: isRefresh ? before.text : null };
  if (!isRefresh) {
    document.title = `${view.TITLE} · Memory`;
    drawTabs(name, choices.agent);
    agents.set(choices.agent ?? "");
    page.view.setAttribute("aria-busy", "true");
    if (before?.name !== name) {
      forget();
      page.view.replaceChildren(h("div", { class: "loading", role: "status" }, h("span", { class: "hidden-text" }, "Loading")));
    }
  }
  shown.name = name;
  try {
    if (view.NEEDS_AGENT && !choices.agent) {
      const { suggested } = await get("agents", {}, stop.signal);
      if (suggested) {
        choices.agent = suggested;
        note({ agent: suggested });
        drawTabs(name, suggested);
        agents.set(suggested);
      }
    }
    const answer = view.load ? await view.load(choices, stop.signal) : {};
    const clock = answer.clock ?? (await get("now", { page: 0, agent: choices.agent }, stop.signal)).clock;
    if (stop.signal.aborted) return;
    drawClock(clock);
    document.getElementById("stale")?.remove();
    const text = JSON.stringify(answer, (key, value) => (key === "clock" ? undefined : value));
    if (isRefresh && text === shown.text) return;
    Object.assign(shown, { answer, text });
    forget();
    const focused = document.activeElement?.id;
    page.view.replaceChildren(...[view.draw(answer, choices)].flat());
    if (isRefresh && focused) document.getElementById(focused)?.focus();
  } catch (error) {
    if (error.name === "AbortError" || stop.signal.aborted) return;
    if (!(error instanceof Trouble)) throw error;
    if (shown.answer) return warn(error);
    forget();
    page.view.replaceChildren(trouble(error, () => show()));
  } finally {
    if (!stop.signal.aborted) page.view.setAttribute("aria-busy", "false");
  }
}

// What is drawn stays, and says that it is old.
function warn(error) {
  if (document.getElementById("stale")) return;
  page.view.prepend(h("div", { id: "stale", class: "banner", role: "alert" },
    h("span", {}, `This picture is old: ${error.message}`),
    h("button", { type: "button", onclick: () => show() }, "Try again")));
}

const agents = pickAgents((agent) => {
  const here = read();
  go(here.view, { agent });
});

const toggle = document.getElementById("theme");
const nameTheme = () => {
  toggle.textContent = document.documentElement.dataset.theme === "dark" ? "Light" : "Dark";
  toggle.setAttribute("aria-label", `Switch to the ${toggle.textContent.toLowerCase()} theme`);
};
toggle.hidden = window.biomemTheme.isHosted();
toggle.addEventListener("click", () => window.biomemTheme.toggle());
window.addEventListener("themechange", nameTheme);
nameTheme();

window.addEventListener("hashchange", () => show());
setInterval(() => document.visibilityState === "visible" && show({ isRefresh: true }), REFRESH_MS);
show();
