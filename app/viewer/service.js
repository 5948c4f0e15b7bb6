// Calls of the service. A key, where one is asked for, stays in this tab.

export class Unreachable extends Error {}

export class Refused extends Error {
  constructor(problem, retryAfter) {
    super(problem.detail || problem.title);
    this.code = (problem.type ?? "").split(":").at(-1);
    this.status = problem.status;
    this.retryAfter = retryAfter;
  }
}

const KEY = "medpatchnet-key";
const MOST_BUSY_ANSWERS = 30;
const LONGEST_ANSWER_MS = 330_000; // over the service's own deadlines: who is silent longer is away
const FILE = { "Content-Type": "application/octet-stream" };

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Service {
  // `askKey(wasRefused)` asks the person; an empty answer gives up.
  constructor(askKey) {
    this.askKey = askKey;
    this.asking = null;
  }

  post(path, file, signal) {
    return this.call(path, { method: "POST", body: file, headers: FILE, signal });
  }

  // The answer, or Refused, Unreachable, or the reason of `signal`.
  async call(path, options = {}) {
    for (;;) {
      const key = sessionStorage.getItem(KEY);
      const headers = { ...options.headers, ...(key ? { "X-API-Key": key } : {}) };
      const answer = await reach(path, { ...options, headers });
      if (answer.ok) return answer;
      if (answer.status === 401 && await this.newKey(key)) continue;
      throw await refusal(answer);
    }
  }

  // One question at a time: whoever comes meanwhile takes the answer of the first.
  async newKey(used) {
    if (sessionStorage.getItem(KEY) !== used) return true;
    this.asking ??= this.askKey(used !== null).finally(() => { this.asking = null; });
    const given = await this.asking;
    if (given) sessionStorage.setItem(KEY, given);
    return Boolean(given);
  }

  // Does `work` until it is answered: waits for a service that is away or busy. `onWait` hears "unreachable", "busy",
  // and null once it goes on.
  async persistently(work, onWait, signal) {
    for (let busy = 0; ;) {
      try {
        const answer = await work();
        onWait(null);
        return answer;
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof Unreachable) {
          onWait("unreachable");
          await untilAlive(signal);
        } else if (error instanceof Refused && error.retryAfter && busy < MOST_BUSY_ANSWERS) {
          busy += 1;
          onWait("busy");
          await pause(error.retryAfter * 1000);
        } else {
          throw error;
        }
      }
    }
  }
}

async function reach(path, options) {
  const limit = AbortSignal.timeout(LONGEST_ANSWER_MS);
  try {
    return await fetch(path, { ...options, signal: options.signal ? AbortSignal.any([options.signal, limit]) : limit });
  } catch {
    options.signal?.throwIfAborted();
    throw new Unreachable();
  }
}

async function refusal(answer) {
  let problem = { status: answer.status, title: answer.statusText };
  try {
    problem = { ...problem, ...(await answer.json()) };
  } catch { /* an answer without a problem: the status has to do */ }
  return new Refused(problem, Number(answer.headers.get("Retry-After")) || 0);
}

async function untilAlive(signal) {
  for (;;) {
    try {
      if ((await fetch("readyz")).ok) return;
    } catch { /* still away */ }
    await pause(1000);
    signal?.throwIfAborted();
  }
}
