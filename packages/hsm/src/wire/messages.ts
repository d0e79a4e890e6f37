/** The JSON bodies of frames (frames.ts), one type per kind, and the binary layout of operations. */

export interface AgentConfig {
  readonly mode: 'pool' | 'admin'
  readonly module: string
  readonly token: string
  readonly serial?: string | undefined
  /** Passed to C_Initialize (NSS needs it). */
  readonly libraryParameters?: string | undefined
  readonly sessions: number
  readonly hardTimeoutMs: number
  readonly beatMs: number
}

export interface TokenIdentity {
  readonly label: string
  readonly serial: string
  readonly manufacturer: string
  readonly model: string
  readonly firmware: string
  readonly hardware: string
  /** 0: the token states no limit. */
  readonly maxSessions: number
  readonly module: string
  readonly moduleVersion: string
}

/** CKM_… the token lists, as far as Sealfleet could use them. */
export interface TokenMechanisms {
  readonly hmac: boolean
  readonly gcm: boolean
}

export interface WantLogin {
  readonly token: TokenIdentity
  /** Token flags: the next wrong PIN locks it; it is locked; the PIN is typed on the device. */
  readonly pin: 'ok' | 'final-try' | 'locked' | 'on-device'
}

/** C_Login's result. `rejected`: the token refused the PIN, which must not be tried again. */
export interface LoggedIn {
  readonly accepted: boolean
  readonly rejected: boolean
  readonly text: string
  readonly ckr?: number | undefined
}

export interface Ready {
  readonly pid: number
  readonly token: TokenIdentity
  readonly mechanisms: TokenMechanisms
  /** Opened sessions, without the login session; fewer than requested when the token has no more. */
  readonly sessions: number
}

export type StartStage = 'library' | 'initialize' | 'token' | 'login' | 'sessions' | 'config'

export interface Failed {
  readonly stage: StartStage
  readonly text: string
  /** The token refused the PIN. */
  readonly rejected?: boolean
  readonly ckr?: number | undefined
  readonly fn?: string | undefined
}

/**
 * The agent's verdict on an operation: `recycle` replay elsewhere and replace this agent; `unknown` no such key here;
 * `mismatch` two keys or a wrong one; `denied` a matter of configuration; `login` the PIN was rejected; `data` this one
 * record; `refused` bad input.
 */
export type Verdict = 'recycle' | 'unknown' | 'mismatch' | 'denied' | 'login' | 'data' | 'refused' | 'exists'

export interface OperationError {
  readonly verdict: Verdict
  readonly text: string
  readonly class?: string | undefined
  readonly ckr?: number | undefined
  readonly fn?: string | undefined
}

export interface Expect {
  readonly label: string
  /** 8 bytes, hex. */
  readonly kcv?: string | undefined
  /** The registered known answer, 32 bytes, hex. */
  readonly answer?: string | undefined
  /** CKA_ID, hex: search by label and id. */
  readonly ckaId?: string | undefined
  /** A KEK's check record, hex. */
  readonly record?: string | undefined
}

export interface Beat {
  readonly rss: number
  readonly idle: number
  readonly leased: number
  readonly hung: number
  readonly broken: number
  readonly epoch: number
}

/** An event inside the agent that is worth counting. */
export type Notice =
  | { readonly what: 'error'; readonly ckr: number; readonly fn: string; readonly class: string }
  | { readonly what: 'login' }
  | { readonly what: 'session-replaced' }
  | { readonly what: 'sessions-reopened' }
  | { readonly what: 'capacity'; readonly sessions: number }
  | { readonly what: 'bound'; readonly label: string; readonly kcv: string | null }

const MAX_LABEL = 255

/** `labelLen(1) ‖ label ‖ message` */
export function packKeyed(label: string, message?: Uint8Array): Uint8Array[] {
  const name = Buffer.from(label, 'latin1')
  if (name.length > MAX_LABEL) throw new RangeError('a key label of more than 255 bytes')
  const head = Buffer.allocUnsafe(1 + name.length)
  head[0] = name.length
  head.set(name, 1)
  return message === undefined ? [head] : [head, message]
}

export function unpackKeyed(payload: Buffer): { label: string; message: Buffer } {
  const end = 1 + payload.readUInt8(0)
  if (end > payload.length) throw new RangeError('a label longer than its frame')
  return { label: payload.toString('latin1', 1, end), message: payload.subarray(end) }
}

/** `labelLen(1) ‖ label ‖ aadLen(2) ‖ aad ‖ input` */
export function packAead(label: string, aad: Uint8Array, input: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(aad.length)
  return [...packKeyed(label), length, aad, input]
}

export function unpackAead(payload: Buffer): { label: string; aad: Buffer; input: Buffer } {
  const { label, message } = unpackKeyed(payload)
  const end = 2 + message.readUInt16BE(0)
  if (end > message.length) throw new RangeError('associated data longer than their frame')
  return { label, aad: message.subarray(2, end), input: message.subarray(end) }
}
