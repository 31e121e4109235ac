"use strict";
// Whatever comes from the API is put in as text, never as HTML. Only counts, codes, ids and states are asked for.
const TOKEN = "faceway-token", POLL_MS = 2000, BURIED_SHOWN = 10, LAG_MS = 300000;
const at = id => document.getElementById(id);

/** An element with text or elements inside. */
function make(name, inside, set) {
  const element = Object.assign(document.createElement(name), set);
  for (const part of [inside].flat()) if (part !== null && part !== undefined) element.append(part);
  return element;
}
const count = number => number.toLocaleString("en");
const number = many => make("td", count(many), { className: "number" });
const mark = (text, kind) => make("span", text, { className: "mark " + kind });

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return s + "s";
  if (s < 3600) return Math.floor(s / 60) + "m";
  return s < 172800 ? Math.floor(s / 3600) + "h" : Math.floor(s / 86400) + "d";
}
const until = time => Date.parse(time) > Date.now() ? "in " + span(Date.parse(time) - Date.now()) : "now";
const age = time => time ? span(Date.now() - Date.parse(time)) : "–";
const ago = time => make("time", age(time) + " ago", { dateTime: time, title: time, className: "ago" });
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit++; }
  return (unit && count < 10 ? count.toFixed(1) : Math.floor(count)) + " " + units[unit];
}

async function ask(path, body) {
  const headers = {}, token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = "Bearer " + token;
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch("/api/v1/" + path,
    { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit" });
  const problem = answer.ok ? null : await answer.json().catch(() => ({}));
  if (answer.status === 401) throw Object.assign(new Error("token"), { wantsToken: true });
  if (problem) throw Object.assign(new Error(problem.error || "the gateway answers " + answer.status), { told: true });
  return answer.json();
}

function fill(id, rows, none, columns) {
  const body = at(id);
  // Rows are not taken away from under a finger, and a button keeps its focus.
  if (body.querySelector("button:active")) return;
  const focused = body.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
  body.replaceChildren(...(rows.length ? rows : [make("tr", make("td", none, { colSpan: columns, className: "soft" }))]));
  label(body);
  if (focused) [...body.querySelectorAll("button")].find(button => button.ariaLabel === focused)?.focus();
}
/** Says in every cell what it is, for screens that have no room for a headline. */
function label(body) {
  const names = [...body.closest("table").tHead.rows[0].cells].map(cell => cell.textContent);
  for (const row of body.rows) if (row.cells.length === names.length)
    [...row.cells].forEach((cell, column) => {
      if (cell.tagName === "TD") cell.dataset.label = names[column];
      cell.classList.toggle("none", cell.textContent === "–");
    });
}

/** What needs an operator, the worst first, as `faceway top` has it: words, how bad, and whether it holds. */
const LANE_NEEDS = [
  ["waiting", "bad", lane => lane.state === "waiting"], ["removed", "wait", lane => lane.state === "removed"],
  ["leaving", "wait", lane => lane.leaving], ["with buried", "bad", lane => lane.buried > 0],
  ["with parked", "wait", lane => lane.parked > 0],
  ["behind", "wait", lane => lane.oldest && Date.now() - Date.parse(lane.oldest) >= LAG_MS],
];
const states = inbound => inbound.terminal_states || {};
const INBOUND_NEEDS = [
  ["not connected", "bad", inbound => inbound.source && inbound.source.state !== "connected"],
  ["with terminals refused", "bad", inbound => states(inbound).refused > 0],
  ["with terminals unreachable", "wait", inbound => states(inbound).unreachable > 0],
];
function sorted(all, needs) {
  const rank = one => (needs.findIndex(need => need[2](one)) + needs.length + 1) % (needs.length + 1);
  return [...all].sort((one, other) => rank(one) - rank(other));
}
function summary(id, all, needs, word) {
  const parts = needs.map(([words, kind, holds]) => [all.filter(holds).length, words, kind]).filter(part => part[0]);
  at(id).replaceChildren(count(all.length) + " " + word + (all.length === 1 ? "" : "s") + ": ",
    ...(parts.length ? parts.flatMap(([many, words, kind]) => [mark(count(many) + " " + words, kind), " "]) : ["nothing to see to"]));
}
/** A number that somebody should see, when there is one. */
const alarm = (many, kind) => make("td", many ? mark(count(many), kind) : "0", { className: "number" });

const STATES = { idle: "good", delivering: "good", waiting: "bad", blocked: "soft", stopped: "soft", removed: "wait",
  "claimed elsewhere": "soft" };
function lane(lane) {
  const needy = LANE_NEEDS.some(need => need[2](lane));
  const kind = STATES[lane.state] || "soft";
  // Green is for those where all is well, not for one that has nothing more to do as it gave events up.
  const state = [mark(lane.state, kind === "good" && needy ? "soft" : kind)];
  if (lane.state === "claimed elsewhere") state.push(lane.gateway ? ": " + lane.gateway : ": by none now");
  if (lane.state === "waiting" && lane.since) state.push(" for " + age(lane.since));
  if (lane.next_probe) state.push(", tries " + until(lane.next_probe));
  if (lane.leaving) state.push(" ", mark("leaving", "wait"));
  const late = LANE_NEEDS.at(-1)[2](lane);
  const last = lane.last_failure;
  return make("tr", [
    make("th", lane.name, { scope: "row" }), make("td", lane.protocol || "–"), make("td", state), number(lane.backlog),
    make("td", late ? mark(age(lane.oldest), "wait") : age(lane.oldest)), alarm(lane.parked, "wait"), alarm(lane.buried, "bad"),
    make("td", last ? [make("code", last.code), ", ", ago(last.at), last.reason ? ": " + last.reason : ""] : "–"),
    make("td", lane.state === "waiting" ? probe(lane) : "–"),
  ]);
}
function probe(lane) {
  const button = make("button", "Try now", { type: "button", ariaLabel: "Try " + lane.name + " now" });
  button.onclick = async () => {
    button.disabled = true;
    try { await ask("lanes/" + encodeURIComponent(lane.name) + "/probe", {}); } catch (error) { complain(error); return; }
    look();
  };
  return button;
}
const TERMINALS = { subscribed: "good", unchecked: "soft", unreachable: "wait", refused: "bad" };
/** How many terminals are in which state. */
function terminals(inbound) {
  const counts = Object.entries(inbound.terminal_states || {});
  const parts = counts.flatMap(([state, count]) => [mark(count.toLocaleString("en") + " " + state, TERMINALS[state] || "soft"), " "]);
  return make("td", counts.length ? parts : "–");
}
/** What is wrong with its source and its terminals, in a row of its own, which has room for sentences. */
function told(inbound) {
  const source = inbound.source;
  const troubled = (inbound.terminals || []).filter(one => one.message).map(one =>
    [make("code", one.url), ": " + one.state + " for " + age(one.since) + ": ", one.message]);
  if (source && source.state !== "connected" && source.last_error) troubled.unshift([source.last_error]);
  const list = make("ul", troubled.map(parts => make("li", parts)));
  return troubled.length ? [make("tr", make("td", list, { colSpan: 8, className: "told" }), { className: "under" })] : [];
}
const SOURCES = { connected: "good", connecting: "wait", waiting: "bad", blocked: "bad", stopped: "soft",
  "claimed elsewhere": "soft" };
function inbound(inbound) {
  const source = inbound.source;
  return make("tr", [
    make("th", inbound.name, { scope: "row" }), make("td", inbound.adapter),
    make("td", inbound.path ? make("code", inbound.path) : "–"), make("td", inbound.token ? "needed" : "–"),
    ...(source ? dialled(source) : [make("td", "pushes"), number(0), make("td", "–")]),
    terminals(inbound),
  ]);
}
/** A source that is dialled: how it stands, and when nothing could be read of it. */
function dialled(source) {
  const state = [mark(source.state, SOURCES[source.state] || "soft"), " for " + age(source.since)];
  if (source.next_attempt) state.push(", tries " + until(source.next_attempt));
  const gap = source.last_gap;
  const length = gap ? span(Date.parse(gap.to) - Date.parse(gap.from)) : "";
  return [make("td", state), number(source.gaps), make("td", gap ? [length + ", until ", ago(gap.to)] : "–")];
}
const fact = (name, value) => make("div", [make("dt", name), make("dd", value)]);

function show(overview) {
  const why = { full: "not ready: the spool is full", failing: "not ready: the spool fails" };
  const well = overview.degraded ? "degraded: " + overview.degraded : "ready";
  at("ready").textContent = overview.ready ? well : why[overview.trouble] || "not ready";
  at("ready").className = "mark " + (!overview.ready ? "bad" : overview.degraded ? "wait" : "good");
  at("version").textContent = "version " + overview.version + ", up for " + age(overview.started_at);
  at("room").replaceChildren(
    fact("Spool", bytes(overview.spool_bytes)), fact("Free on its disk", bytes(overview.free_bytes)),
    fact("In quarantine", overview.quarantined.toLocaleString("en")),
    fact("Backlog", overview.lanes.reduce((sum, lane) => sum + lane.backlog, 0).toLocaleString("en")),
    fact("Buried", overview.lanes.reduce((sum, lane) => sum + lane.buried, 0).toLocaleString("en")));
  showReload(overview.reload_failed);
  summary("lanes-told", overview.lanes, LANE_NEEDS, "outbound");
  summary("inbounds-told", overview.inbounds, INBOUND_NEEDS, "inbound");
  fill("lanes", sorted(overview.lanes, LANE_NEEDS).map(lane), "No outbounds in routes.toml.", 9);
  const inbounds = sorted(overview.inbounds, INBOUND_NEEDS).flatMap(one => [inbound(one), ...told(one)]);
  fill("inbounds", inbounds, "No inbounds in routes.toml.", 8);
}
let shownReload = "";
/** A reload that failed, told once and not with every look. */
function showReload(failed) {
  at("reload").hidden = !failed;
  const shown = failed ? failed.at + failed.text : "";
  if (shown === shownReload) return;
  shownReload = shown;
  if (failed) at("reload").replaceChildren(make("strong", "The last reload failed"), ", ", ago(failed.at),
    ". What was in force before still is. Mend routes.toml, and it is taken over.", make("pre", failed.text));
}

let shownBuried = "";
function showBuried(list, all) {
  at("buried-none").hidden = list.length > 0;
  at("buried-some").hidden = !list.length;
  at("buried-more").hidden = all <= list.length;
  at("buried-more").replaceChildren("The newest are shown; " + count(all - list.length) + " more are told by ",
    make("code", "faceway buried list --max " + all), ".");
  // Rows that have not changed stay, so that a button does not vanish under a finger.
  const shown = JSON.stringify(list.map(event => [event.id, event.to, event.buried_at]));
  if (shown === shownBuried) return;
  shownBuried = shown;
  at("buried").replaceChildren(...list.map(buried));
  label(at("buried"));
}
function buried(event) {
  const act = (what, text) => {
    const button = make("button", text, { type: "button" });
    button.setAttribute("aria-label", text + " " + event.id + " of " + event.to);
    button.onclick = () => repair(what, event, button);
    return button;
  };
  const id = make("button", event.id, { type: "button", className: "link id", title: "Why?" });
  id.onclick = () => { at("why-id").value = event.id; tell(event.id); at("why").scrollIntoView({ block: "nearest" }); };
  return make("tr", [
    make("td", id), make("td", event.to), make("td", make("code", event.code)), number(event.attempts),
    make("td", ago(event.buried_at)), make("td", ago(event.received_at)),
    make("td", [act("revive", "Revive"), " ", act("drop", "Drop")]),
  ]);
}
function say(text) {
  at("buried-told").hidden = false;
  at("buried-told").textContent = text;
}
async function repair(what, event, button) {
  if (what === "drop" && !confirm("Remove this event for good? It will not be delivered to " + event.to + ".")) return;
  button.disabled = true;
  try {
    const { count } = await ask("buried/" + what, { to: event.to, ids: [event.id] });
    const done = what === "drop" ? " is dropped for good." : " is revived: delivery begins again.";
    say(count ? event.id + done : event.id + " was not buried any more.");
  } catch (error) {
    if (error.wantsToken) complain(error); else say(error.message);
  }
  shownBuried = "";
  look();
}

const STANDINGS = {
  waiting: "its turn has not come", leased: "on its way", parked: "failed, is tried again",
  behind: "waits behind an earlier event of its device that failed", buried: "given up", done: "through",
  not_routed: "no route leads here",
  not_taken: "through without an attempt: it was silenced by once, or is older than this outbound",
  dropped: "given up, and dropped by command", gone: "this lane is gone; before that",
};
function route(route) {
  if (route.matched) return make("li", [mark("matches", "good"), " ", route.name, " → ", route.to.join(", ")]);
  const failed = route.failed;
  const why = failed ? [": ", make("code", failed.field), " is not ", make("code", failed.test)] : [];
  if (failed && failed.value !== undefined) why.push(", it is ", make("code", JSON.stringify(failed.value)));
  return make("li", [mark("does not match", "soft"), " ", route.name, ...why]);
}
function attempts(lane) {
  const due = lane.due ? " " + until(lane.due) : "";
  const list = lane.attempts.map(attempt => make("li",
    [make("time", attempt.at), " ", attempt.result, ", ", make("code", attempt.code), " after " + attempt.took_ms + " ms"]));
  return make("li", [make("strong", lane.name), ": ", (STANDINGS[lane.standing] || lane.standing) + due,
    list.length ? make("ul", list) : null]);
}
function heading(why) {
  if (!why.rules_changed) return "Routes, as they are now";
  return why.rules_since <= why.received_at
    ? "Routes, as they were then (from " + why.rules_since + " on; they are others now)"
    : "Routes, as they were at " + why.rules_since + ", the oldest that are remembered";
}
async function tell(id) {
  try {
    const why = await ask("events/" + encodeURIComponent(id.trim()) + "/why");
    at("why").replaceChildren(
      make("p", why.kind + " at " + why.inbound + ", received " + why.received_at),
      make("h3", heading(why)), make("ul", why.routes.map(route)),
      make("h3", "Outbounds"), make("ul", why.lanes.map(attempts)));
  } catch (error) {
    if (error.wantsToken) complain(error); else at("why").replaceChildren(make("p", error.message));
  }
}

function complain(error) {
  if (error.wantsToken) {
    sessionStorage.removeItem(TOKEN);
    document.body.className = "locked";
    if (at("ask").hidden) { at("ask").hidden = false; at("token").focus(); }
    at("ready").textContent = "token needed";
    at("ready").className = "mark wait";
    return;
  }
  at("trouble").hidden = false;
  at("trouble").textContent = error.told ? error.message : "The gateway does not answer. It may have been stopped; this page asks on.";
  if (!error.told) { at("ready").textContent = "no answer"; at("ready").className = "mark bad"; }
}
async function look() {
  try {
    const overview = await ask("overview");
    show(overview);
    showBuried(await ask("buried?max=" + BURIED_SHOWN), overview.lanes.reduce((sum, lane) => sum + lane.buried, 0));
    for (const time of document.querySelectorAll("time.ago")) time.textContent = age(time.dateTime) + " ago";
    at("ask").hidden = at("trouble").hidden = true;
    document.body.className = "";
  } catch (error) { complain(error); }
}
async function poll() {
  if (!document.hidden && at("ask").hidden) await look();
  setTimeout(poll, POLL_MS);
}
at("ask-form").onsubmit = event => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value.trim());
  at("token").value = "";
  at("ask").hidden = true;
  look();
};
at("why-form").onsubmit = event => { event.preventDefault(); tell(at("why-id").value); };
poll();
