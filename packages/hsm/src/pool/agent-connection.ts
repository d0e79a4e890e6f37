import type { Kind } from '../wire/frames.js'
import type { Beat, Failed, LoggedIn, Notice, OperationError, Ready, WantLogin } from '../wire/messages.js'

/** One running agent as the pool sees it. The real one is a process (agent-process.ts); tests drive a fake. */
export interface AgentConnection {
  readonly pid: number | undefined
  /** Sends one request; the parts are copied. */
  send(kind: Kind, id: number, parts: readonly Uint8Array[]): void
  /** Answers WANT_LOGIN. */
  allowLogin(): void
  /** Resolves when the process is gone, after the exit event. */
  readonly ended: Promise<void>
  /** Asks a quiet agent to close its sessions and end. */
  close(): void
  /** SIGKILL, at once: works on a stopped or hanging process too. */
  kill(): void
}

export interface AgentEvents {
  wantLogin(want: WantLogin): void
  loggedIn(outcome: LoggedIn): void
  ready(ready: Ready): void
  failed(failed: Failed): void
  /** `payload` is wiped when this returns: copy what must last. */
  reply(id: number, payload: Buffer): void
  error(id: number, error: OperationError): void
  beat(beat: Beat): void
  notice(notice: Notice): void
  /** Last of all events, exactly once. */
  exit(how: string): void
}

/** Time and timers, so that tests own them. */
export interface Clock {
  /** Milliseconds, never going back. */
  now(): number
}
