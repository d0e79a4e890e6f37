import { createHmac, randomBytes } from 'node:crypto'

import { CkrError, type Cryptoki, type Handle, type KeyQuery } from '../src/agent/cryptoki.js'
import { CKR } from '../src/errors/ckr.js'

/**
 * A token in memory, for tests of the agent alone: keys by label, sessions that can be lost, a login that can be lost, and a
 * list of failures to throw at the next calls. It checks what a real one would crash on.
 */
export class FakeCryptoki implements Cryptoki {
  readonly keys = new Map<string, Buffer>()
  readonly open = new Set<string>()
  readonly log: string[] = []
  /** Thrown by the next call of that function, in order. */
  readonly script: { fn: string; ckr: number }[] = []
  /** Sessions the token gives, the anchor included. */
  maxSessions = Infinity
  /** Resolves before each HMAC; a test that never lets it resolve has a hanging module. */
  gate: () => Promise<void> = () => Promise.resolve()
  logins = 0
  #user = false
  #handles = new Map<string, { label: string; generation: number }>()
  #generation = 0
  #next = 1
  readonly #busy = new Set<string>()

  loseSessions(): void {
    this.open.clear()
    this.loseLogin()
  }

  loseLogin(): void {
    this.#user = false
    this.#generation += 1
  }

  openSession(): Handle {
    this.#enter('C_OpenSession')
    if (this.open.size >= this.maxSessions) throw new CkrError(CKR.SESSION_COUNT, 'C_OpenSession')
    const handle = this.#handle()
    this.open.add(handle.toString('hex'))
    return handle
  }

  closeSession(session: Handle): void {
    const id = session.toString('hex')
    if (this.#busy.has(id)) throw new Error('a session was closed with a call in flight')
    this.log.push('C_CloseSession')
    if (!this.open.delete(id)) throw new CkrError(CKR.SESSION_HANDLE_INVALID, 'C_CloseSession')
    if (this.open.size === 0) this.loseLogin()
  }

  login(session: Handle): void {
    this.#enter('C_Login', session)
    this.logins += 1
    this.#user = true
  }

  loggedIn(session: Handle): boolean {
    this.#enter('C_GetSessionInfo', session)
    return this.#user
  }

  findKeys(session: Handle, { label }: KeyQuery): Handle[] {
    this.#enter('C_FindObjects', session)
    if (!this.#user || !this.keys.has(label)) return []
    const handle = this.#handle()
    this.#handles.set(handle.toString('hex'), { label, generation: this.#generation })
    return [handle]
  }

  async hmac(session: Handle, key: Handle, message: Buffer, out: Buffer): Promise<void> {
    this.#enter('C_SignInit', session)
    const known = this.#handles.get(key.toString('hex'))
    const value = known?.generation === this.#generation ? this.keys.get(known.label) : undefined
    if (!this.#user || value === undefined) throw new CkrError(CKR.OBJECT_HANDLE_INVALID, 'C_SignInit')
    const id = session.toString('hex')
    if (this.#busy.has(id)) throw new Error('two operations on one session')
    this.#busy.add(id)
    try {
      await this.gate()
      this.#enter('C_Sign', session)
      createHmac('sha256', value).update(message).digest().copy(out)
    } finally {
      this.#busy.delete(id)
    }
  }

  encrypt(): Promise<number> {
    return Promise.reject(new CkrError(CKR.MECHANISM_INVALID, 'C_EncryptInit'))
  }

  decrypt(): Promise<number> {
    return Promise.reject(new CkrError(CKR.MECHANISM_INVALID, 'C_DecryptInit'))
  }

  #enter(fn: string, session?: Handle): void {
    this.log.push(fn)
    const at = this.script.findIndex((entry) => entry.fn === fn)
    if (at >= 0) {
      const [entry] = this.script.splice(at, 1)
      if (entry !== undefined) throw new CkrError(entry.ckr, fn)
    }
    if (session !== undefined && !this.open.has(session.toString('hex'))) {
      throw new CkrError(CKR.SESSION_HANDLE_INVALID, fn)
    }
  }

  #handle(): Handle {
    const handle = randomBytes(8)
    handle.writeUInt32LE(this.#next)
    this.#next += 1
    return handle
  }
}
