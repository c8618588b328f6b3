#!/usr/bin/env node
// A stand-in for OpenCode 2, which npm does not carry: it speaks the shapes of 2.0.x and does what it is told.
//
//   server.mjs --version | serve --hostname HOST --port N
//
// What it shows is that the adapter follows the contract as it was read; it is no proof about a true OpenCode 2.
//
// Each line of a prompt that begins with one of these words is a step, as with the fake model:
//
//   say TEXT, think TEXT, slow WORDS DELAY_MS, bash COMMAND, question, task PROMPT, later PROMPT (a helper in the
//   background), shell COMMAND (in the background), error CODE, overflow [TIMES], /compact, usage INPUT OUTPUT,
//   lie KIND (unknown | twice | cut | old: what a server may do on its stream)
import http from "node:http";
import fs from "node:fs";
import path from "node:path";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";

const VERSION = process.env.STAND_IN_VERSION ?? "2.0.18";
if (process.argv.includes("--version")) {
  console.log(`opencode v${VERSION}`);
  process.exit(0);
}
const asked = (flag) => process.argv[process.argv.indexOf(flag) + 1];
const password = process.env.OPENCODE_PASSWORD ?? process.env.OPENCODE_SERVER_PASSWORD;
const file = process.env.OPENCODE_DB;
if (!password || !file) {
  console.log("server password " + randomBytes(8).toString("hex"));
  console.error("the stand-in needs OPENCODE_SERVER_PASSWORD and OPENCODE_DB");
  process.exit(1);
}
const basic = "Basic " + Buffer.from(`opencode:${password}`).toString("base64");

// ---- what is stored: sessions and messages; what runs is not
const store = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : { sessions: {}, messages: {}, inbox: {} };
const save = () => {
  fs.writeFileSync(file + ".new", JSON.stringify(store));
  fs.renameSync(file + ".new", file);
};
const executions = new Map();
const permissions = new Map();
const forms = new Map();
const shells = new Map();
const listeners = new Set();
const started = Date.now();
let events = 0;
const digits = (at) => (BigInt(at) * 4096n + BigInt(events++ % 4096)).toString(16).padStart(12, "0").slice(-12);
const name = (prefix) => `${prefix}_${digits(Date.now())}${randomBytes(7).toString("hex")}`;
const wait = (ms, signal) =>
  new Promise((done, fail) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), fail(new Stopped())), { once: true });
  });
class Stopped extends Error {}
class Failed extends Error {
  constructor(type, message) {
    super(message);
    this.error = { type, message };
  }
}

function emit(type, data, extra = {}) {
  const session = store.sessions[data.sessionID ?? data.form?.sessionID];
  const frame = { id: name("evt"), created: Date.now(), type, data, ...extra };
  const isPlaced = !type.startsWith("session.execution") && type !== "session.usage.updated";
  if (session && isPlaced) frame.location = { directory: session.location.directory };
  write(frame);
  return frame;
}
const write = (frame) => listeners.forEach((one) => one.write(`data: ${JSON.stringify(frame)}\n\n`));

function create(body, parentID) {
  const id = body.id ?? name("ses");
  if (store.sessions[id]) return store.sessions[id];
  const now = Date.now();
  const session = {
    id, projectID: "stand-in", title: body.title, location: body.location, agent: body.agent ?? "build",
    model: body.model ?? { id: "fake-1", providerID: "fake" }, metadata: body.metadata ?? {}, cost: 0,
    tokens: { input: 0, output: 0, reasoning: 0, cache: { read: 0, write: 0 } }, time: { created: now, updated: now },
    ...(parentID ? { parentID } : {}),
  };
  store.sessions[id] = session;
  store.messages[id] = [];
  store.inbox[id] = [];
  save();
  const { projectID, location, title, agent, model, metadata } = session;
  emit("session.created", { sessionID: id, projectID, location, parentID, title, agent, model, metadata, version: VERSION });
  return session;
}

function enqueue(session, item) {
  store.inbox[session.id].push(item);
  save();
  const { id: inboxID, type, delivery, text } = item;
  emit("session.inbox.enqueued", { sessionID: session.id, inboxID, item: { type, payload: { text }, delivery } });
  wake(session);
}

function wake(session) {
  if (executions.has(session.id)) return;
  const stop = new AbortController();
  executions.set(session.id, stop);
  execute(session, stop).catch((error) => console.error("the stand-in has failed:", error));
}

// One execution answers all that waits, and ends with exactly one event.
async function execute(session, stop) {
  const sessionID = session.id;
  delete session.outcome;
  emit("session.execution.started", { sessionID });
  let end = ["session.execution.succeeded", { sessionID }];
  try {
    while (store.inbox[sessionID].length > 0) {
      const item = store.inbox[sessionID].shift();
      store.messages[sessionID].push({ id: item.id, type: "user", text: item.text, time: { created: Date.now() } });
      save();
      emit("session.inbox.delivered", { sessionID, inboxID: item.id });
      await answer(session, item.text, stop.signal);
    }
  } catch (error) {
    if (error instanceof Failed) end = ["session.execution.failed", { sessionID, error: error.error }];
    else if (error instanceof Stopped) end = ["session.execution.interrupted", { sessionID, reason: stop.reason ?? "user" }];
    else throw error;
  }
  executions.delete(sessionID);
  if (!store.sessions[sessionID]) return;
  session.outcome = end[0].split(".").pop();
  session.time.updated = Date.now();
  session.time.idle = Date.now();
  save();
  emit(...end);
  emit("session.usage.updated", { sessionID, cost: session.cost, tokens: session.tokens });
  if (end[0].endsWith("succeeded") && store.inbox[sessionID].length > 0) wake(session);
}

const WORDS = ["say", "think", "slow", "bash", "question", "task", "later", "shell", "error", "overflow", "/compact", "usage", "lie"];

async function answer(session, text, signal) {
  const lines = text.split("\n").map((line) => line.trim());
  const steps = lines.filter((line) => WORDS.includes(line.split(" ")[0]));
  if (steps.length === 0) steps.push("say done");
  for (const [at, line] of steps.entries()) {
    const [word, ...rest] = line.split(" ");
    await step(session, word, rest, signal);
    const isTool = ["bash", "question", "task", "later", "shell"].includes(word);
    if (isTool && at === steps.length - 1) await step(session, "say", ["tool", "finished"], signal);
  }
}

const overflows = new Map();

async function step(session, word, rest, signal) {
  if (signal.aborted) throw new Stopped();
  const sessionID = session.id;
  if (word === "/compact") return compact(session, "manual");
  if (word === "lie") return lie(session, rest[0]);
  if (word === "overflow") {
    const left = overflows.get(sessionID) ?? Number(rest[0] ?? 1);
    if (left > 0) {
      overflows.set(sessionID, left - 1);
      compact(session, "auto");
    }
    [word, rest] = ["say", ["it", "fits", "now"]];
  }
  const message = {
    id: name("msg"), type: "assistant", agent: session.agent, model: session.model, content: [], time: { created: Date.now() },
  };
  store.messages[sessionID].push(message);
  const data = { sessionID, assistantMessageID: message.id };
  emit("session.step.started", { ...data, agent: session.agent, model: session.model });
  try {
    const usage = await act(session, message, data, word, rest, signal);
    const isTool = message.content.some((piece) => piece.type === "tool");
    bill(session, message, data, usage ?? { input: 100, output: 20 }, isTool ? "tool-calls" : "stop");
  } catch (error) {
    const told = error instanceof Failed ? error.error : { type: "aborted", message: "Step interrupted" };
    message.error = told;
    message.time.completed = Date.now();
    save();
    emit("session.step.failed", { ...data, error: told });
    throw error;
  }
}

function bill(session, message, data, { input, output }, finish) {
  const tokens = { input, output, reasoning: 0, cache: { read: 0, write: 0 } };
  const cost = (input * 3 + output * 15) / 1e6;
  Object.assign(message, { finish, cost, tokens });
  message.time.completed = Date.now();
  session.cost += cost;
  session.tokens.input += input;
  session.tokens.output += output;
  session.time.updated = Date.now();
  save();
  emit("session.step.streamed", data);
  emit("session.step.ended", { ...data, finish, rawFinish: finish, cost, tokens, files: [] });
  emit("session.usage.updated", { sessionID: session.id, cost: session.cost, tokens: session.tokens });
}

async function act(session, message, data, word, rest, signal) {
  switch (word) {
    case "say": return speak(message, data, "text", rest, 0, signal);
    case "think":
      await speak(message, data, "reasoning", rest, 0, signal);
      return speak(message, data, "text", rest, 0, signal);
    case "slow": return speak(message, data, "text", Array(Number(rest[0])).fill("word"), Number(rest[1]), signal);
    case "usage":
      await speak(message, data, "text", ["billed"], 0, signal);
      return { input: Number(rest[0]), output: Number(rest[1]) };
    case "error": return refuse(session, data, Number(rest[0]), signal);
    case "bash": return tool(session, message, data, "shell", { command: rest.join(" ") }, signal, bash);
    case "shell": return tool(session, message, data, "shell", { command: rest.join(" "), background: true }, signal, inBackground);
    case "task": return tool(session, message, data, "subagent", { agent: "general", prompt: rest.join(" ") }, signal, helper);
    case "later": return tool(session, message, data, "subagent", { agent: "general", prompt: rest.join(" "), background: true }, signal, helper);
    case "question": return tool(session, message, data, "question", { questions: [] }, signal, ask);
  }
}

async function speak(message, data, kind, words, delay, signal) {
  const ordinal = message.content.filter((piece) => piece.type === kind).length;
  emit(`session.${kind}.started`, { ...data, ordinal });
  let said = "";
  try {
    for (const word of words) {
      if (delay > 0) await wait(delay, signal);
      const delta = said ? " " + word : word;
      said += delta;
      emit(`session.${kind}.delta`, { ...data, ordinal, delta });
    }
  } finally {
    message.content.push({ type: kind, text: said });
    emit(`session.${kind}.ended`, { ...data, ordinal, text: said });
  }
}

async function refuse(session, data, code, signal) {
  const message = `Provider request failed with HTTP ${code}: the stand-in says so`;
  const type = { 401: "provider.auth", 429: "provider.rate-limit" }[code] ?? (code >= 500 ? "provider.internal" : "provider.invalid-request");
  if (code === 429 || code >= 500) {
    for (let attempt = 2; attempt <= 5; attempt++) {
      const ms = 2 ** (attempt - 1) * 1000;
      emit("session.retry.scheduled", { ...data, attempt, at: Date.now() + ms, error: { type, message, status: code } });
      await wait(ms, signal);
      emit("session.step.started", { ...data, agent: session.agent, model: session.model });
    }
  }
  throw new Failed(type, message);
}

function compact(session, reason) {
  const sessionID = session.id;
  emit("session.compaction.started", { sessionID, reason, recent: "" });
  emit("session.compaction.ended", { sessionID, reason, text: "all is well", recent: "", cost: 0 });
}

// ---- tools
async function tool(session, message, data, name_, input, signal, run) {
  const id = name("call");
  const told = { ...data, id };
  emit("session.tool.input.started", { ...told, name: name_ });
  emit("session.tool.input.ended", { ...told, text: JSON.stringify(input) });
  emit("session.tool.called", { ...told, input, executed: false });
  const piece = { type: "tool", id, name: name_, state: { status: "running", input } };
  message.content.push(piece);
  save();
  try {
    const { metadata, output } = await run(session, message, id, input, signal, told);
    const content = [{ type: "text", text: output }];
    piece.state = { status: "completed", input, metadata, content };
    emit("session.tool.success", { ...told, metadata, content, executed: false }, { durable: { version: 2 } });
  } catch (error) {
    const why = error instanceof Failed ? error.error : { type: "aborted", message: "Tool execution interrupted" };
    piece.state = { status: "error", input, error: why };
    emit("session.tool.failed", { ...told, error: why, executed: false });
    if (!(error instanceof Failed)) throw error;
  }
}

async function allowed(session, message, id, command, signal) {
  const rule = rules();
  const effect = rule.shell ?? rule.bash ?? rule["*"] ?? "allow";
  if (effect === "deny") throw new Failed("permission.rejected", "Permission denied: shell");
  if (effect !== "ask" || store.saved?.includes(command)) return;
  const request = {
    id: name("per"), sessionID: session.id, action: "shell", resources: [command], save: [command],
    source: { type: "tool", messageID: message.id, id },
  };
  await new Promise((done, fail) => {
    permissions.set(request.id, { ...request, done, fail });
    emit("permission.asked", request);
    signal.addEventListener("abort", () => (permissions.delete(request.id), fail(new Stopped())), { once: true });
  });
}

// A configuration of 1.x is understood, too.
function rules() {
  const place = path.join(process.env.XDG_CONFIG_HOME ?? path.join(process.env.HOME, ".config"), "opencode/opencode.json");
  return fs.existsSync(place) ? (JSON.parse(fs.readFileSync(place, "utf8")).permission ?? {}) : {};
}

function start(session, command) {
  return spawn("/bin/sh", ["-c", command], { cwd: session.location.directory, detached: true, stdio: ["ignore", "pipe", "pipe"] });
}
const end = (child) => {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {}
};

async function bash(session, message, id, { command }, signal, told) {
  await allowed(session, message, id, command, signal);
  const child = start(session, command);
  let output = "";
  for (const pipe of [child.stdout, child.stderr]) {
    pipe.on("data", (piece) => {
      output += piece;
      emit("session.tool.progress", { ...told, metadata: { shellID: "sh_" + child.pid }, content: [{ type: "text", text: output }] });
    });
  }
  const code = await new Promise((done, fail) => {
    child.on("exit", done);
    signal.addEventListener("abort", () => (end(child), fail(new Stopped())), { once: true });
  });
  return { metadata: { exit: code, truncated: false }, output };
}

async function inBackground(session, message, id, { command }, signal) {
  await allowed(session, message, id, command, signal);
  const child = start(session, command);
  const shell = {
    id: name("sh"), status: "running", command, cwd: session.location.directory, metadata: { sessionID: session.id },
  };
  shells.set(shell.id, { ...shell, child });
  const location = session.location;
  emit("shell.created", { info: shell }, { location });
  child.on("exit", (code) => {
    const wasKilled = !shells.delete(shell.id);
    emit(wasKilled ? "shell.deleted" : "shell.exited", { id: shell.id, exit: code, status: "exited" }, { location });
    if (!wasKilled && store.sessions[session.id]) {
      enqueue(session, { id: name("msg"), type: "synthetic", text: `<shell id="${id}" state="completed"/>`, delivery: "steer" });
    }
  });
  return { metadata: { shellID: shell.id, status: "running" }, output: "it runs in the background" };
}

async function helper(session, message, id, { prompt, background }, signal, told) {
  const child = create({ title: prompt, location: session.location }, session.id);
  emit("session.tool.progress", { ...told, metadata: { sessionID: child.id, status: "running" } });
  const over = new Promise((done) => {
    const look = (state) => state && done(state);
    waiters.set(child.id, look);
  });
  enqueue(child, { id: name("msg"), type: "user", text: prompt, delivery: "steer" });
  if (background) {
    over.then((state) => {
      if (!store.sessions[session.id]) return;
      const text = `<subagent id="${child.id}" state="${state}"/>`;
      enqueue(session, { id: name("msg"), type: "synthetic", text, delivery: "steer" });
    });
    return { metadata: { sessionID: child.id, status: "running" }, output: "it works in the background" };
  }
  signal.addEventListener("abort", () => executions.get(child.id)?.abort(), { once: true });
  const state = await over;
  if (signal.aborted) throw new Stopped();
  return { metadata: { sessionID: child.id, status: state }, output: "the helper is done" };
}
const waiters = new Map();
setInterval(() => {
  for (const [id, tell] of waiters) {
    const session = store.sessions[id];
    if (!session || (session.outcome && !executions.has(id))) {
      waiters.delete(id);
      tell(session?.outcome ?? "cancelled");
    }
  }
}, 20).unref();

async function ask(session, message, id, input, signal) {
  const options = ["Red", "Blue"].map((value) => ({ value, label: value, description: "a colour" }));
  const form = {
    id: name("frm"), sessionID: session.id, title: "Questions", metadata: { kind: "question", tool: { messageID: message.id, id } },
    fields: [{ key: "q0", title: "Colour", description: "Which colour?", type: "string", options, custom: true }],
  };
  const answer = await new Promise((done, fail) => {
    forms.set(form.id, { ...form, done, fail });
    emit("form.created", { form });
    signal.addEventListener("abort", () => (forms.delete(form.id), fail(new Stopped())), { once: true });
  });
  return { metadata: { answer }, output: JSON.stringify(answer) };
}

function lie(session, kind) {
  const sessionID = session.id;
  if (kind === "unknown") emit("session.moon.risen", { sessionID, phase: 3 });
  if (kind === "twice") write(emit("session.renamed", { sessionID, title: "told twice" }));
  if (kind === "cut") listeners.forEach((one) => one.destroy());
  if (kind === "old") {
    const inputID = name("msg");
    emit("session.input.admitted", { sessionID, inputID, input: { type: "user", data: { text: "in July's words" }, delivery: "steer" } });
    emit("session.input.promoted", { sessionID, inputID });
  }
}

// ---- calls
function interrupt(id, reason) {
  const running = executions.get(id);
  for (const [key, one] of permissions) if (one.sessionID === id) permissions.delete(key);
  if (running) {
    running.reason = reason;
    // It answers before it has cleaned up.
    setTimeout(() => running.abort(), 30);
  }
  return !!running;
}
const missing = (what) => [404, { _tag: what + "NotFoundError", message: what + " not found" }];
const bare = ({ done, fail, child, ...rest }) => rest;

function prompt(session, body) {
  if (typeof body.text !== "string") return [400, { _tag: "InvalidRequestError", message: "text is missing" }];
  if (body.id && !body.id.startsWith("msg_")) return [400, { _tag: "InvalidRequestError", message: "id" }];
  const known =
    store.inbox[session.id].find((one) => one.id === body.id) ?? store.messages[session.id].find((one) => one.id === body.id);
  if (known && known.text !== body.text) return [409, { _tag: "ConflictError", message: "another prompt has this id" }];
  const item = known ?? { id: body.id ?? name("msg"), type: "user", text: body.text, delivery: body.delivery ?? "steer" };
  if (!known) enqueue(session, item);
  return [200, { data: item }];
}

function reply(session, rid, body) {
  const request = permissions.get(rid);
  if (!request || request.sessionID !== session.id) return missing("Permission");
  if (!["once", "always", "reject"].includes(body.decision)) return [400, { _tag: "InvalidRequestError", message: "decision" }];
  permissions.delete(rid);
  emit("permission.replied", { sessionID: session.id, requestID: rid, reply: body.decision });
  if (body.decision === "always") store.saved = [...(store.saved ?? []), ...request.save];
  if (body.decision !== "reject") request.done();
  else if (body.message) request.fail(new Failed("permission.rejected", body.message));
  else {
    const running = executions.get(session.id);
    if (running) running.reason = "shutdown";
    request.fail(new Stopped());
  }
  return [204];
}

function fill(session, method, [fid, verb], body) {
  const form = forms.get(fid);
  if (!form || form.sessionID !== session.id) return missing("Form");
  if (method === "GET") return [200, { data: bare(form) }];
  forms.delete(fid);
  if (verb === "reply") {
    emit("form.replied", { id: fid, sessionID: session.id, answer: body.answer });
    form.done(body.answer);
  } else {
    emit("form.cancelled", { id: fid, sessionID: session.id });
    const running = executions.get(session.id);
    if (running) running.reason = "shutdown";
    form.fail(new Stopped());
  }
  return [204];
}

function ofSession(method, [id, noun, ...rest], body) {
  const session = store.sessions[id];
  if (!session) return missing("Session");
  const key = `${method} ${noun ?? ""}`;
  switch (key) {
    case "GET ": return [200, { data: session }];
    case "POST prompt": return prompt(session, body);
    case "POST interrupt": return [200, { data: { interrupted: interrupt(id, "user") } }];
    case "GET message": return [200, { data: [...store.messages[id]].reverse(), cursor: {} }];
    case "GET inbox": return [200, { data: store.inbox[id] }];
    case "GET permission": return [200, { data: [...permissions.values()].filter((one) => one.sessionID === id).map(bare) }];
    case "POST permission": return reply(session, rest[0], body);
    case "GET form": case "POST form": case "DELETE form": return fill(session, method, rest, body);
    case "DELETE inbox": {
      const at = store.inbox[id].findIndex((one) => one.id === rest[0]);
      if (at < 0) return missing("Inbox");
      store.inbox[id].splice(at, 1);
      save();
      emit("session.inbox.cancelled", { sessionID: id, inboxID: rest[0] });
      return [204];
    }
    case "DELETE ":
      interrupt(id, "user");
      delete store.sessions[id];
      save();
      emit("session.deleted", { sessionID: id });
      // A ghost of it.
      emit("session.execution.started", { sessionID: id });
      emit("session.execution.failed", { sessionID: id, error: { type: "unknown", message: "gone" } });
      return [204];
  }
  return undefined;
}

function list(query) {
  let all = Object.values(store.sessions);
  if (query.has("directory")) all = all.filter((one) => one.location.directory === query.get("directory"));
  if (query.has("parentID")) all = all.filter((one) => one.parentID === query.get("parentID"));
  all.sort((one, other) => other.time.updated - one.time.updated);
  const from = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 50);
  const next = from + limit < all.length ? String(from + limit) : undefined;
  return [200, { data: all.slice(from, from + limit), cursor: { next } }];
}

function route(method, parts, query, body) {
  const [noun, ...rest] = parts;
  const key = `${method} ${noun}`;
  const isNew = Date.now() - started < 1000;
  if (noun === "session" && rest[0] === "active") {
    return [200, { data: Object.fromEntries([...executions.keys()].map((id) => [id, { type: "running" }])) }];
  }
  if (noun === "session" && rest.length > 0) return ofSession(method, rest, body);
  switch (key) {
    case "GET info": return [200, { version: VERSION, pid: process.pid, urls: [], paths: { tmp: "/tmp" } }];
    case "GET session": return list(query);
    case "POST session":
      if (!body.location?.directory) return [400, { _tag: "InvalidRequestError", message: "the stand-in wants a location" }];
      return [200, { data: create(body) }];
    case "GET form": return [200, { data: [...forms.values()].map(bare) }];
    case "GET shell": return [200, { data: [...shells.values()].map(bare) }];
    case "DELETE shell": {
      const shell = shells.get(rest[0]);
      if (!shell) return missing("Shell");
      shells.delete(rest[0]);
      end(shell.child);
      return [204];
    }
    // Empty while the directory is being loaded.
    case "GET agent": return [200, { location: {}, data: isNew ? [] : [{ id: "build" }, { id: "plan" }] }];
    case "GET model": {
      const settings = { apiKey: "the-key-of-the-stand-in" };
      const limit = { context: 100000, output: 8000 };
      return [200, { location: {}, data: isNew ? [] : [{ id: "fake-1", providerID: "fake", settings, limit }] }];
    }
  }
  return undefined;
}

const server = http.createServer((request, response) => {
  if (request.headers.authorization !== basic) return response.writeHead(401, { "www-authenticate": "Basic" }).end();
  const url = new URL(request.url, "http://stand.in");
  const parts = url.pathname.split("/").filter(Boolean);
  if (url.pathname === "/api/event") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`: heartbeat\n\ndata: ${JSON.stringify({ id: name("evt"), type: "server.connected", data: {} })}\n\n`);
    const beat = setInterval(() => response.write(": heartbeat\n\n"), 15000);
    listeners.add(response);
    return response.on("close", () => (clearInterval(beat), listeners.delete(response)));
  }
  let text = "";
  request.on("data", (piece) => (text += piece));
  request.on("end", () => {
    const answer = parts[0] === "api" ? route(request.method, parts.slice(1), url.searchParams, text ? JSON.parse(text) : {}) : undefined;
    // An unknown path is answered with the page of its web interface.
    if (!answer) return response.writeHead(200, { "content-type": "text/html" }).end("<html></html>");
    const [status, body] = answer;
    response.writeHead(status, { "content-type": "application/json" }).end(body ? JSON.stringify(body) : undefined);
  });
});

// In order, it ends its tools and settles its turns.
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    for (const [id] of executions) interrupt(id, "shutdown");
    shells.forEach((shell) => end(shell.child));
    setTimeout(() => process.exit(0), 100);
  });
}
server.listen(Number(asked("--port")), asked("--hostname"), () => {
  console.log(`server listening on http://127.0.0.1:${server.address().port}`);
});
