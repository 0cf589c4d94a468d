// Asking the server: relative addresses, so that the page works below any prefix.

export class Trouble extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  let response;
  try {
    response = await fetch(`api/${path}?${query}`, { credentials: "same-origin", signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("Airflow's server does not answer. Is it running, and is this machine online?", "server");
  }
  return answer(response);
}

// Ask for something to be done: the header is what a form of another site cannot send.
export async function send(path, body) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method: "POST", credentials: "same-origin", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Biomem-Request": "page" },
    });
  } catch {
    throw new Trouble("Airflow's server does not answer. Nothing is known of what became of it: look before you try again.", "server");
  }
  if (response.status === 403) throw new Trouble("You may look at this, but not change it: that needs the right to start the pipeline's DAGs.", "forbidden");
  return answer(response);
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401) throw new Trouble("You are not signed in any more. Sign in to Airflow and reload this page.", "signin");
  if (response.status === 403) throw new Trouble("You may not see this page. Ask for access to Airflow's plugins.", "signin");
  if (response.status === 404) throw new Trouble(typeof body.detail === "string" ? body.detail : "There is nothing at this address.", "missing");
  if (response.status < 500 && typeof body.detail === "string") throw new Trouble(body.detail, "refused");
  throw new Trouble(body.error || `Airflow's server answered ${response.status}; its log says why.`, body.kind || "server");
}
