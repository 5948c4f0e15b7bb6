// Calls of the service. A key, where one is asked for, stays in this tab.

export class Unreachable extends Error {}

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.status = problem.status;
  }
}

const KEY = "medpatchnet-key";

export async function call(path, options, askKey) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...(options.headers || {}), ...(key ? { "X-API-Key": key } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch {
      throw new Unreachable();
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      const given = await askKey();
      if (given) {
        sessionStorage.setItem(KEY, given);
        continue;
      }
    }
    let problem = { status: answer.status, title: answer.statusText };
    try {
      problem = { ...problem, ...(await answer.json()) };
    } catch { /* an answer without a problem: the status has to do */ }
    throw new Refused(problem);
  }
}

export async function alive() {
  try {
    return (await fetch("livez")).ok;
  } catch {
    return false;
  }
}
