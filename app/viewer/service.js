// Requests to the service. An API key is kept in this tab's session storage only.

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
const LONGEST_ANSWER_MS = 330_000; // longer than the service's own deadlines
const FILE = { "Content-Type": "application/octet-stream" };

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Service {
  // `askKey(wasRefused)` prompts for a key; an empty string cancels.
  constructor(askKey) {
    this.askKey = askKey;
    this.asking = null;
  }

  post(path, file, signal) {
    return this.call(path, { method: "POST", body: file, headers: FILE, signal });
  }

  // Resolves to a successful response. Throws Refused, Unreachable, or the reason of `signal`.
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

  // One prompt at a time: concurrent requests share its result.
  async newKey(used) {
    if (sessionStorage.getItem(KEY) !== used) return true;
    this.asking ??= this.askKey(used !== null).finally(() => { this.asking = null; });
    const given = await this.asking;
    if (given) sessionStorage.setItem(KEY, given);
    return Boolean(given);
  }

  // Repeats `work` while the service is unreachable or busy. `onWait` receives "unreachable" or "busy", and null on success.
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
  } catch { /* no problem body: the status code remains */ }
  return new Refused(problem, Number(answer.headers.get("Retry-After")) || 0);
}

async function untilAlive(signal) {
  for (;;) {
    try {
      if ((await fetch("readyz")).ok) return;
    } catch { /* still unreachable */ }
    await pause(1000);
    signal?.throwIfAborted();
  }
}
