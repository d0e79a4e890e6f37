import { createRequire } from 'node:module'

import type { PKCS11 } from 'pkcs11js'

import { CKR, ckrOf } from '../errors/ckr.js'
import type { TokenIdentity, TokenMechanisms } from '../wire/messages.js'
import { CKA, CKF, CKM, CKO_SECRET_KEY, CKU_USER, USER_STATES } from './constants.js'
import { CkrError, WrongAnswer, type Cryptoki, type GcmInput, type Handle, type KeyQuery } from './cryptoki.js'

type Raw = InstanceType<typeof PKCS11>
export type Template = Parameters<Raw['C_GenerateKey']>[2]

const GCM_TAG_BITS = 128
/** pkcs11js's tags for the two layouts of GCM parameters: CK_GCM_PARAMS of v2.40, and the draft without ulIvBits. */
const GCM_PARAMS = { v240: 7, draft: 3 } as const
const HMAC_LENGTH = 32

export class NoToken extends Error {
  override readonly name = 'NoToken'
}

/**
 * One loaded PKCS#11 module and one token in it. A process has one: modules keep a single state per process, and two
 * owners that each initialise and log in race (seen on SoftHSM). Never finalised while a call is in flight.
 */
export class Pkcs11Module implements Cryptoki {
  readonly #raw: Raw
  #slot: Handle | undefined
  #gcmParams: keyof typeof GCM_PARAMS = 'v240'

  private constructor(raw: Raw) {
    this.#raw = raw
  }

  /** Loads and initialises. Throws the loader's error unchanged, or CkrError after `loaded` was called. */
  static load(library: string, libraryParameters?: string, loaded?: () => void): Pkcs11Module {
    const binding = createRequire(import.meta.url)('pkcs11js') as { PKCS11: typeof PKCS11 }
    const raw = new binding.PKCS11()
    raw.load(library)
    loaded?.()
    const module = new Pkcs11Module(raw)
    // Without CKF_OS_LOCKING_OK asynchronous calls corrupt the module's memory. The binding drops the last character of
    // the parameters, hence the space.
    const options = { flags: CKF.OS_LOCKING_OK }
    module.call('C_Initialize', () => {
      raw.C_Initialize(
        libraryParameters === undefined ? options : { ...options, libraryParameters: `${libraryParameters} ` },
      )
    })
    return module
  }

  /** Runs one call of the binding and turns its errors into CkrError. */
  call<T>(fn: string, run: (raw: Raw) => T): T {
    try {
      return run(this.#raw)
    } catch (error) {
      throw asCkrError(error, fn)
    }
  }

  async #callAsync<T>(fn: string, run: (raw: Raw) => Promise<T>): Promise<T> {
    try {
      return await run(this.#raw)
    } catch (error) {
      throw asCkrError(error, fn)
    }
  }

  get slot(): Handle {
    if (this.#slot === undefined) throw new NoToken('no token selected')
    return this.#slot
  }

  /** Selects the token by label (and serial). Throws NoToken when none or several carry it. */
  selectToken(label: string, serial?: string): void {
    const slots = this.call('C_GetSlotList', (raw) => raw.C_GetSlotList(true))
    const seen: string[] = []
    const found = slots.filter((slot) => {
      const info = this.call('C_GetTokenInfo', (raw) => raw.C_GetTokenInfo(slot))
      if ((info.flags & CKF.TOKEN_INITIALIZED) !== 0) seen.push(text(info.label))
      return text(info.label) === label && (serial === undefined || text(info.serialNumber) === serial)
    })
    const [only, second] = found
    if (only === undefined) {
      const present = seen.length === 0 ? 'it shows no initialised token' : `it shows: ${seen.join(', ')}`
      throw new NoToken(`the module has no token "${label}"; ${present}`)
    }
    if (second !== undefined) throw new NoToken(`${found.length} tokens are labelled "${label}": name the serial too`)
    this.#slot = only
  }

  identity(): { token: TokenIdentity; flags: number } {
    const info = this.call('C_GetTokenInfo', (raw) => raw.C_GetTokenInfo(this.slot))
    const module = this.call('C_GetInfo', (raw) => raw.C_GetInfo())
    const token: TokenIdentity = {
      label: text(info.label),
      serial: text(info.serialNumber),
      manufacturer: text(info.manufacturerID),
      model: text(info.model),
      firmware: version(info.firmwareVersion),
      hardware: version(info.hardwareVersion),
      maxSessions: limit(info.maxSessionCount),
      module: text(module.libraryDescription),
      moduleVersion: version(module.libraryVersion),
    }
    return { token, flags: info.flags }
  }

  mechanismNumbers(): number[] {
    return this.call('C_GetMechanismList', (raw) => raw.C_GetMechanismList(this.slot))
  }

  mechanisms(): TokenMechanisms {
    const list = this.mechanismNumbers()
    return { hmac: list.includes(CKM.SHA256_HMAC), gcm: list.includes(CKM.AES_GCM) }
  }

  openSession(readWrite: boolean): Handle {
    const flags = CKF.SERIAL_SESSION | (readWrite ? CKF.RW_SESSION : 0)
    return this.call('C_OpenSession', (raw) => raw.C_OpenSession(this.slot, flags))
  }

  closeSession(session: Handle): void {
    this.call('C_CloseSession', (raw) => raw.C_CloseSession(session))
  }

  login(session: Handle, pin: string | undefined): void {
    try {
      this.call('C_Login', (raw) => {
        if (pin === undefined) raw.C_Login(session, CKU_USER)
        else raw.C_Login(session, CKU_USER, pin)
      })
    } catch (error) {
      if (!(error instanceof CkrError && error.ckr === CKR.USER_ALREADY_LOGGED_IN)) throw error
    }
  }

  loggedIn(session: Handle): boolean {
    const info = this.call('C_GetSessionInfo', (raw) => raw.C_GetSessionInfo(session))
    return USER_STATES.includes(info.state)
  }

  findKeys(session: Handle, query: KeyQuery): Handle[] {
    const template: Template = [
      { type: CKA.CLASS, value: CKO_SECRET_KEY },
      { type: CKA.TOKEN, value: true },
      { type: CKA.LABEL, value: query.label },
    ]
    if (query.ckaId !== undefined) template.push({ type: CKA.ID, value: query.ckaId })
    return this.findObjects(session, template, 2)
  }

  findObjects(session: Handle, template: Template, max: number): Handle[] {
    this.call('C_FindObjectsInit', (raw) => {
      raw.C_FindObjectsInit(session, template)
    })
    const found = this.call('C_FindObjects', (raw) => raw.C_FindObjects(session, max))
    this.call('C_FindObjectsFinal', (raw) => {
      raw.C_FindObjectsFinal(session)
    })
    return found
  }

  async hmac(session: Handle, key: Handle, message: Buffer, out: Buffer): Promise<void> {
    this.call('C_SignInit', (raw) => {
      raw.C_SignInit(session, { mechanism: CKM.SHA256_HMAC }, key)
    })
    const { length } = await this.#callAsync('C_Sign', (raw) => raw.C_SignAsync(session, message, out))
    if (length !== HMAC_LENGTH) throw new WrongAnswer(`an HMAC-SHA-256 of ${length} bytes`)
  }

  async encrypt(session: Handle, key: Handle, gcm: GcmInput, out: Buffer): Promise<number> {
    this.#gcmInit('C_EncryptInit', gcm, (raw, mechanism) => {
      raw.C_EncryptInit(session, mechanism, key)
    })
    return (await this.#callAsync('C_Encrypt', (raw) => raw.C_EncryptAsync(session, gcm.input, out))).length
  }

  async decrypt(session: Handle, key: Handle, gcm: GcmInput, out: Buffer): Promise<number> {
    this.#gcmInit('C_DecryptInit', gcm, (raw, mechanism) => {
      raw.C_DecryptInit(session, mechanism, key)
    })
    return (await this.#callAsync('C_Decrypt', (raw) => raw.C_DecryptAsync(session, gcm.input, out))).length
  }

  /** Modules take one of two parameter layouts; the one that worked is then tried first. */
  #gcmInit(fn: string, { iv, aad }: GcmInput, init: (raw: Raw, mechanism: GcmMechanism) => void): void {
    const other = this.#gcmParams === 'v240' ? 'draft' : 'v240'
    const attempt = (layout: keyof typeof GCM_PARAMS) => {
      const parameter = { type: GCM_PARAMS[layout], iv, ivBits: iv.length * 8, aad, tagBits: GCM_TAG_BITS }
      this.call(fn, (raw) => {
        init(raw, { mechanism: CKM.AES_GCM, parameter })
      })
    }
    try {
      attempt(this.#gcmParams)
    } catch (error) {
      const layoutRefused =
        error instanceof CkrError && (error.ckr === CKR.MECHANISM_PARAM_INVALID || error.ckr === CKR.ARGUMENTS_BAD)
      if (!layoutRefused) throw error
      attempt(other)
      this.#gcmParams = other
    }
  }

  /** Ends the module. Only while no call is in flight: it crashes otherwise. */
  finalize(): void {
    this.call('C_Finalize', (raw) => {
      raw.C_Finalize()
    })
  }
}

interface GcmMechanism {
  mechanism: number
  parameter: { type: number; iv: Buffer; ivBits: number; aad: Buffer; tagBits: number }
}

function asCkrError(error: unknown, fn: string): unknown {
  const ckr = ckrOf(error)
  return ckr === undefined ? error : new CkrError(ckr, fn)
}

/** Fixed-width fields of Cryptoki come padded with blanks (or NULs). */
function text(field: string): string {
  return field.replace(/[\s\0]+$/, '')
}

function version(value: { major: number; minor: number }): string {
  return `${value.major}.${value.minor}`
}

/** CK_UNAVAILABLE_INFORMATION and CK_EFFECTIVELY_INFINITE both mean: no number. */
function limit(count: number): number {
  return Number.isSafeInteger(count) && count > 0 && count < 0xffff_ffff ? count : 0
}
