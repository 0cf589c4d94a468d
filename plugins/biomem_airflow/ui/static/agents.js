// Choosing an agent: a combobox that searches on the server, because there may be thousands.

import { get } from "./api.js";
import { h } from "./dom.js";

const WAIT_MS = 150;

export function pickAgents(choose) {
  const input = document.getElementById("agent");
  const list = document.getElementById("agents");
  let chosen = "";
  let active = -1;
  let timer = 0;
  let stop = new AbortController();

  const options = () => [...list.querySelectorAll("[role=option]")];
  const close = () => {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const take = (agent) => {
    close();
    input.value = agent;
    if (agent !== chosen) choose(agent);
  };
  const move = (step) => {
    const all = options();
    if (!all.length) return;
    active = (active + step + all.length) % all.length;
    all.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
    all[active].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", all[active].id);
  };
  const search = async () => {
    stop.abort();
    stop = new AbortController();
    const asked = input.value === chosen ? "" : input.value;
    let found;
    try {
      found = await get("agents", { search: asked }, stop.signal);
    } catch (error) {
      if (error.name !== "AbortError") list.replaceChildren(h("li", { class: "note" }, error.message));
      return;
    }
    const option = (agent, text) =>
      h("li", { role: "option", id: `agent-${agent}`, "aria-selected": "false", onmousedown: (event) => { event.preventDefault(); take(agent); } }, text);
    list.replaceChildren(option("", "all agents"), ...found.agents.map((agent) => option(agent, agent)));
    if (found.has_more) list.append(h("li", { class: "note", role: "presentation" }, "and more: type to narrow down"));
    list.hidden = false;
    active = -1;
    input.setAttribute("aria-expanded", "true");
  };

  input.addEventListener("focus", () => { input.select(); search(); });
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, WAIT_MS); });
  input.addEventListener("blur", () => { close(); input.value = chosen; });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) search(); else move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const all = options();
      if (active >= 0) take(all[active].id.slice("agent-".length));
      else if (!input.value) take("");
      else if (all.length === 2) take(all[1].id.slice("agent-".length));
      else take(input.value);
    } else if (event.key === "Escape") close();
  });

  return { set: (agent) => { chosen = agent; if (document.activeElement !== input) input.value = agent; } };
}
