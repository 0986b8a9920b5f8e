"use strict";
// Every text of a line reaches the page as a text node; nothing here makes markup of a string.

const at = (id) => document.getElementById(id);
const CUT = 4000;
// What a reader would not see, or would see in another order: controls, formatting and private characters, blanks that are not the blank.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}|[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f]/u;

const state = { me: null, lines: [], place: 0, shown: null, redacted: false, busy: false, days: new Set() };

async function ask(path, body) {
  const options = { headers: {}, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer: try again, nothing is lost");
  }
  let value = {};
  try {
    value = await response.json();
  } catch {
    // The status says it.
  }
  if (!response.ok) {
    const error = new Error(value.error || `the server answered ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return value;
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// A text as nodes: hidden characters stand as their code points.
function written(text, into) {
  let plain = "";
  const flush = () => {
    if (plain) into.append(document.createTextNode(plain));
    plain = "";
  };
  for (const character of text) {
    if (!HIDDEN.test(character)) {
      plain += character;
      continue;
    }
    flush();
    if (character === "\n") {
      into.append(element("span", "\u21b5", "break"), document.createTextNode("\n"));
    } else if (character === "\t") {
      into.append(element("span", "\u21e5", "break"), document.createTextNode("\t"));
    } else {
      const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      into.append(element("span", `U+${code}`, "hidden-character"));
    }
  }
  flush();
}

function cut(text, into, button) {
  into.replaceChildren();
  const characters = Array.from(text);
  const long = characters.length > CUT;
  written(long ? characters.slice(0, CUT).join("") : text, into);
  if (!button) {
    if (long) into.append(element("span", ` \u2026 ${characters.length - CUT} more characters`, "withheld"));
    return;
  }
  button.hidden = !long;
  if (long) {
    into.append(element("span", " \u2026", "withheld"));
    button.textContent = `Show all ${characters.length.toLocaleString("en")} characters`;
    button.onclick = () => {
      into.replaceChildren();
      written(text, into);
      button.hidden = true;
    };
  }
}

const withheld = (value) => value !== null && typeof value === "object" && value.withheld;
const WITHHELD = "withheld: it cannot be shown that nothing secret is left of it";

function fact(list, name, value) {
  if (value === null || value === undefined || value === "") return;
  const term = element("dt", name);
  const held = element("dd");
  if (withheld(value)) {
    held.append(element("span", WITHHELD, "withheld"));
  } else {
    const text = element("span", undefined, "text");
    cut(String(value), text);
    held.append(text);
  }
  list.append(term, held);
}

// The detectors' names, as people know them.
const DETECTORS = { iforest: "Isolation forest", pca: "PCA", kmeans: "k-means" };

const many = (n, what) => `${n === null || n === undefined ? "?" : n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

function say(text, wrong) {
  at("status").textContent = text;
  at("status").classList.toggle("error", Boolean(wrong));
}

function only(id) {
  for (const part of ["sign-in", "review", "done"]) at(part).hidden = part !== id;
  at("verdicts").hidden = id !== "review";
  at("progress").hidden = id === "sign-in";
  at("who").hidden = id === "sign-in";
}

const judged = () => state.lines.filter((line) => line.review).length;

function progress() {
  const all = state.lines.length;
  at("bar").max = Math.max(all, 1);
  at("bar").value = judged();
  at("count").textContent = `${judged()} of ${all} judged`;
}

function show(line) {
  state.shown = line;
  const item = state.lines[state.place];
  item.review = line.review;
  progress();
  at("place").textContent = `Line ${state.place + 1} of ${state.lines.length}`;
  at("held").hidden = !line.review;
  if (line.review) at("held").textContent = `${line.review.analyst}: ${line.review.verdict}`;
  at("comment").value = "";
  const text = at("line");
  at("whole").hidden = true;
  if (withheld(line.text)) {
    text.replaceChildren(element("span", WITHHELD, "withheld"));
  } else {
    cut(line.text, text, at("whole"));
  }
  const decoded = at("decoded-texts");
  decoded.replaceChildren();
  for (const part of line.decoded) {
    const box = element("div", undefined, "line");
    cut(part, box);
    decoded.append(box);
  }
  for (const why of line.undecoded) decoded.append(element("p", `Not decoded: ${why}`, "withheld"));
  at("decoded").hidden = line.decoded.length + line.undecoded.length === 0;

  const why = at("why");
  why.replaceChildren();
  for (const detector of line.detectors) {
    const own = line.reasons.filter((reason) => reason.startsWith(`${detector}: `)).map((reason) => reason.slice(detector.length + 2));
    fact(why, DETECTORS[detector] || detector, own.join(", ") || "by its score");
  }

  const facts = at("facts");
  facts.replaceChildren();
  fact(facts, "Seen", `${many(line.events, "time")} on ${many(line.hosts, "host")} by ${many(line.users, "user")}, ${line.day}`);
  fact(facts, "Template seen", line.label.hosts === null ? null : `on ${many(line.label.hosts, "host")}, by ${many(line.label.users, "user")}, on ${many(line.label.days, "day")}`);
  fact(facts, "System", line.os);
  fact(facts, "User", line.user);
  fact(facts, "Program", line.image);
  fact(facts, "Parent", line.parent_image);
  fact(facts, "Parent's line", line.parent);

  const said = at("said");
  said.replaceChildren(
    element("span", line.label.verdict, `verdict ${["benign", "malicious", "uncertain", "suspicious"].includes(line.label.verdict) ? line.label.verdict : ""}`),
    document.createTextNode(` by ${line.label.model || line.label.labeller}` + (line.label.confidence === null ? "" : `, confidence ${line.label.confidence.toFixed(2)}`)),
  );
  const evidence = at("evidence");
  evidence.replaceChildren();
  fact(evidence, "Reason", line.label.reason);
  fact(evidence, "Evidence", line.label.evidence);
  fact(evidence, "Intent", line.label.intent);
  for (const flag of line.label.red_flags) fact(evidence, "Red flag", flag);
  fact(evidence, "Rules", line.label.rules.join(", "));

  const covered = at("covered");
  covered.replaceChildren();
  for (const other of line.covered) {
    const entry = element("li");
    if (withheld(other.text)) {
      entry.append(element("span", WITHHELD, "withheld"));
    } else {
      const text = element("span", undefined, "text");
      cut(other.text, text);
      entry.append(text);
    }
    const cosine = other.cosine === null ? "" : `, cosine ${other.cosine.toFixed(3)}`;
    entry.append(element("small", ` (${other.how || "near"}${cosine})`));
    covered.append(entry);
  }
  at("covers").hidden = line.covered.length === 0;
  at("covers-title").textContent = line.more_covered ? `Stands for ${line.covers ?? "more than 20"} lines, 20 of them` : `Stands for ${line.covered.length} more`;

  for (const button of document.querySelectorAll("button[data-verdict]")) button.disabled = !state.me.may_judge;
  at("back").disabled = state.place === 0;
  text.scrollTop = 0;
  window.scrollTo(0, 0);
}

async function load() {
  if (state.place >= state.lines.length) return finish();
  only("review");
  at("card").classList.add("busy");
  state.busy = true;
  try {
    const item = state.lines[state.place];
    show(await ask(`/api/line/${item.hash}${state.redacted ? "?redacted" : ""}`));
  } catch (error) {
    failed(error);
  } finally {
    state.busy = false;
    at("card").classList.remove("busy");
  }
}

function finish() {
  only("done");
  const all = state.lines.length;
  at("done-title").textContent = all === 0 ? "There is nothing to review: no line is labelled yet" : `${judged()} of ${all} judged`;
  const counts = at("done-counts");
  counts.replaceChildren();
  for (const verdict of ["benign", "malicious", "uncertain", "suspicious"]) {
    const of = state.lines.filter((line) => line.review && line.review.verdict === verdict).length;
    if (of) counts.append(element("li", `${of} ${verdict}`));
  }
  const days = Array.from(state.days).sort();
  at("done-days").textContent = days.length ? `Days to run again: ${days.join(", ")}` : "";
  at("again").hidden = all === 0;
  at("done-title").focus();
}

function failed(error) {
  if (error.status === 401) {
    say("");
    return enter();
  }
  say(error.message, true);
}

async function judge(verdict) {
  const line = state.shown;
  if (state.busy || !line || at("review").hidden) return;
  if (!state.me.may_judge) return say("Verdicts are for operators; your token is a viewer's.", true);
  state.busy = true;
  say("\u2026");
  try {
    const comment = at("comment").value.trim() || null;
    const done = await ask("/api/verdict", { hash: line.hash, verdict, comment });
    for (const day of done.days || []) state.days.add(day);
    state.lines[state.place].review = { verdict, analyst: state.me.name };
    progress();
    say(`${verdict}: kept`);
    state.busy = false;
    next();
  } catch (error) {
    failed(error);
  } finally {
    state.busy = false;
  }
}

function next() {
  state.place += 1;
  // What is judged already is passed over; z goes back to it.
  while (state.place < state.lines.length && state.lines[state.place].review && !state.again) state.place += 1;
  return load();
}

function back() {
  if (state.busy || state.place === 0) return;
  state.place -= 1;
  say("A verdict stands until you give another.");
  load();
}

function skip() {
  if (state.busy || at("review").hidden) return;
  say("skipped");
  next();
}

function redact() {
  if (state.busy || at("review").hidden) return;
  state.redacted = !state.redacted;
  at("redact").setAttribute("aria-pressed", String(state.redacted));
  load();
}

async function enter() {
  state.me = await ask("/api/me");
  if (!state.me.name) {
    only("sign-in");
    const token = state.me.wants === "token";
    at("secret-label").textContent = token ? "Your token" : "Your name";
    at("secret").type = token ? "password" : "text";
    at("secret").value = "";
    at("secret-help").textContent = token
      ? "As gleaner token new has printed it. It is kept by the server for this session alone."
      : "This server asks for no tokens. Your verdicts are kept under this name.";
    at("secret").focus();
    return;
  }
  at("name").textContent = state.me.name + (state.me.may_judge ? "" : " (viewer: looks, does not judge)");
  state.lines = (await ask("/api/sample")).lines;
  state.again = false;
  state.place = state.lines.findIndex((line) => !line.review);
  if (state.place < 0) state.place = state.lines.length;
  progress();
  say("");
  await load();
  at("card").focus();
}

at("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("sign-in-error").textContent = "";
  try {
    await ask("/api/sign-in", { secret: at("secret").value });
    at("secret").value = "";
    await enter();
  } catch (error) {
    at("sign-in-error").textContent = error.message;
  }
});
at("sign-out").addEventListener("click", async () => {
  try {
    await ask("/api/sign-out", {});
  } finally {
    location.reload();
  }
});
for (const button of document.querySelectorAll("button[data-verdict]")) button.addEventListener("click", () => judge(button.dataset.verdict));
at("back").addEventListener("click", back);
at("skip").addEventListener("click", skip);
at("redact").addEventListener("click", redact);
at("again").addEventListener("click", () => {
  state.place = 0;
  state.again = true;
  load();
});

const KEYS = { b: "benign", m: "malicious", u: "uncertain", x: "suspicious" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target instanceof HTMLInputElement) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  if (key === "z" && !at("done").hidden && state.lines.length) {
    state.place = state.lines.length;
    return back();
  }
  if (at("review").hidden) return;
  if (KEYS[key]) judge(KEYS[key]);
  else if (key === "s") skip();
  else if (key === "z") back();
  else if (key === "r") redact();
});

enter().catch(failed);
