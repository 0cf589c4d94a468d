// Network: concepts and memories and what binds them, the strongest first.

import { get } from "../api.js";
import { chart, color, legend, palette, tooltip } from "../charts.js";
import { asTable, h, number, short, state, whole } from "../dom.js";
import { go, link } from "../route.js";

export const TITLE = "Network";
export const NEEDS_AGENT = true;
const LOOSE = "no community";
const LABELS = 28;
const LIMITS = [100, 300, 600, 1200];
const RELATIONS = { associated: "came to mind together", about: "is about", related: "is related to" };

export function load(choices, signal) {
  if (!choices.agent) return {};
  return get("network", { agent: choices.agent, concept: choices.concept, strength: choices.strength ?? 0, limit: choices.limit ?? 300 }, signal);
}

export function draw(answer, choices) {
  if (!choices.agent) return state("No network yet", "There are no memories yet.");
  if (!answer.total) return state("No network yet", `The network of ${choices.agent} is drawn once a week by weekly_homeostasis, from memories that came to mind together. Run the DAG by hand to have it now.`);
  const nodes = new Map(answer.nodes.map((node) => [node.id, node]));
  const again = (more) => go("network", { ...choices, ...more });
  const words = (id) => short(nodes.get(id)?.label ?? id, 70);
  return h("div", { class: "stack" },
    controls(answer, choices, again),
    answer.edges.length ? h("section", { class: "card" },
      chart(`${answer.edges.length} associations among ${nodes.size} memories and concepts of ${choices.agent}`, () => options(answer, nodes, choices.concept), {
        size: "tall",
        onclick: (event) => {
          if (event.dataType !== "node") return;
          if (nodes.get(event.data.id)?.kind === "memory") go("why", { agent: choices.agent, id: event.data.id });
          else again({ concept: event.data.id });
        },
      }),
      h("p", { class: "quiet" }, "Circles are concepts, squares are memories; a click on a concept shows its neighbourhood, on a memory its story."),
      asTable("Associations", [
        { name: "from", value: (edge) => words(edge.source_id) },
        { name: "how", value: (edge) => RELATIONS[edge.relation] ?? edge.relation },
        { name: "to", value: (edge) => h("a", { href: edge.relation === "associated" ? link("why", { agent: choices.agent, id: edge.target_id }) : link("network", { ...choices, concept: edge.target_id }) }, words(edge.target_id)) },
        { name: "strength", isNumber: true, value: (edge) => number(edge.strength) },
        { name: "community", value: (edge) => edge.community_id },
      ], answer.edges)) : state("No association is that strong", "Lower the strength, or look at the whole network."),
    gists(answer.gists, choices));
}

function controls(answer, choices, again) {
  const concept = h("input", { id: "concept", type: "search", value: choices.concept ?? "", placeholder: "a concept or a memory's id" });
  const shown = h("output", { for: "strength" }, number(Number(choices.strength ?? 0), 2));
  const strength = h("input", { id: "strength", type: "range", min: 0, max: 1, step: 0.02, value: choices.strength ?? 0,
    oninput: (event) => { shown.textContent = number(Number(event.target.value), 2); }, onchange: (event) => again({ strength: event.target.value === "0" ? null : event.target.value }) });
  const limit = h("select", { id: "limit", onchange: (event) => again({ limit: event.target.value }) },
    LIMITS.map((count) => h("option", { value: count, selected: String(count) === String(choices.limit ?? 300) }, whole(count))));
  return h("form", { class: "card row", onsubmit: (event) => { event.preventDefault(); again({ concept: concept.value.trim() }); } },
    h("label", { class: "inline", for: "concept" }, "Around"), concept, h("button", { type: "submit", class: "primary" }, "Show"),
    choices.concept && h("button", { type: "button", onclick: () => again({ concept: null }) }, "Whole network"),
    h("label", { class: "inline", for: "strength" }, "From strength"), strength, shown,
    h("label", { class: "inline", for: "limit" }, "Strongest"), limit,
    h("span", { class: "quiet" }, `${whole(answer.edges.length)} of ${whole(answer.total)} associations shown`));
}

function options({ edges }, nodes, center) {
  const ends = new Map();
  for (const edge of edges) {
    for (const id of [edge.source_id, edge.target_id]) {
      const end = ends.get(id) ?? { weight: 0, communities: new Map() };
      end.weight += edge.strength;
      if (edge.community_id) end.communities.set(edge.community_id, (end.communities.get(edge.community_id) ?? 0) + edge.strength);
      ends.set(id, end);
    }
  }
  const community = (id) => [...ends.get(id).communities].sort((a, b) => b[1] - a[1])[0]?.[0] ?? LOOSE;
  const sizes = new Map();
  for (const id of ends.keys()) sizes.set(community(id), (sizes.get(community(id)) ?? 0) + 1);
  const categories = [...sizes.keys()].sort((a, b) => (a === LOOSE) - (b === LOOSE) || sizes.get(b) - sizes.get(a) || (a < b ? -1 : 1));
  const heaviest = Math.max(...[...ends.values()].map((end) => end.weight));
  const concepts = [...ends].filter(([id]) => nodes.get(id)?.kind !== "memory").sort((a, b) => b[1].weight - a[1].weight);
  const labelled = new Set([center, ...concepts.slice(0, LABELS).map(([id]) => id)]);
  const tints = palette().filter((_, place) => place !== 6);
  return {
    // colours repeat beyond the largest communities; the tooltip names each
    color: categories.map((name, place) => (name === LOOSE ? color("soft") : tints[place % tints.length])),
    legend: legend({ data: categories.slice(0, tints.length) }),
    tooltip: tooltip({ formatter: (item) => item.dataType === "edge" ? `strength ${number(item.data.value)}` : `${short(nodes.get(item.data.id)?.label ?? item.data.id, 120)}\n${categories[item.data.category]}` }),
    series: [{
      type: "graph", layout: "force", roam: true, draggable: true, top: 56, bottom: 16, zoom: 0.8,
      categories: categories.map((name) => ({ name })),
      force: { repulsion: edges.length > 400 ? 60 : 130, edgeLength: [30, 110], gravity: 0.2, friction: 0.3 },
      emphasis: { focus: "adjacency", lineStyle: { opacity: 0.9 } },
      data: [...ends].map(([id, end]) => {
        const node = nodes.get(id);
        const isMemory = node?.kind === "memory";
        const group = community(id);
        return {
          id, name: id, symbol: isMemory ? "rect" : "circle", symbolSize: (isMemory ? 7 : 9) + 22 * Math.sqrt(end.weight / heaviest),
          category: categories.indexOf(group),
          itemStyle: id === center ? { borderColor: color("ink"), borderWidth: 3 } : undefined,
          label: { show: !isMemory && (ends.size < 60 || labelled.has(id)), formatter: () => short(id, 24), color: color("ink"), position: "right", textBorderColor: color("card"), textBorderWidth: 3 },
        };
      }),
      links: edges.map((edge) => ({ source: edge.source_id, target: edge.target_id, value: edge.strength, lineStyle: { width: 0.6 + 3.4 * edge.strength, color: color("soft"), opacity: 0.35, curveness: 0.06 } })),
    }],
  };
}

function gists(found, choices) {
  if (!found.length) return null;
  return h("section", { class: "stack" }, h("h2", {}, "What it comes down to"),
    h("ul", { class: "tiles" }, found.map((gist) => h("li", { class: "card" },
      h("h3", {}, h("a", { href: link("network", { agent: choices.agent, concept: gist.community_id }) }, gist.community_id)),
      h("p", { class: "quiet" }, `${whole(gist.memories)} memories · ${gist.terms.slice(0, 6).join(", ")}`),
      gist.medoid && h("p", { class: "clamp", dir: "auto" }, gist.medoid)))));
}
