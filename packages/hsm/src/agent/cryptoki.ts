/**
 * The part of PKCS#11 that Sealfleet uses, as an interface: `module.ts` implements it over a real module, tests over a
 * fake. Every method throws {@link CkrError} and nothing else when the module refuses.
 */
export type Handle = Buffer

export class CkrError extends Error {
  override readonly name = 'CkrError'
  readonly ckr: number
  readonly fn: string

  constructor(ckr: number, fn: string) {
    super(`${fn} returned 0x${ckr.toString(16)}`)
    this.ckr = ckr
    this.fn = fn
  }
}

/** The module's result is not a valid answer, for example 31 bytes of HMAC. The agent is no longer trusted. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

export interface KeyQuery {
  readonly label: string
  readonly ckaId?: Buffer | undefined
}

export interface Cryptoki {
  openSession(readWrite: boolean): Handle
  closeSession(session: Handle): void
  /** Undefined PIN: typed on the device. A user who is already logged in is no error. */
  login(session: Handle, pin: string | undefined): void
  /** Whether the user is logged in, by the state of this session. */
  loggedIn(session: Handle): boolean
  /** Secret keys of the token with exactly this label (and id); at most two. */
  findKeys(session: Handle, query: KeyQuery): Handle[]
  /**
   * HMAC-SHA-256 of `message` into the first 32 bytes of `out`, which has 64: a short buffer overflows the heap in some
   * modules and truncates in others. Resolves if the module wrote 32 bytes, else rejects with WrongAnswer. The caller
   * keeps both buffers alive and unchanged until this settles.
   */
  hmac(session: Handle, key: Handle, message: Buffer, out: Buffer): Promise<void>
  /** AES-GCM, 128-bit tag. Resolves to the number of bytes written into `out`. */
  encrypt(session: Handle, key: Handle, gcm: GcmInput, out: Buffer): Promise<number>
  decrypt(session: Handle, key: Handle, gcm: GcmInput, out: Buffer): Promise<number>
}

export interface GcmInput {
  readonly iv: Buffer
  readonly aad: Buffer
  readonly input: Buffer
}
