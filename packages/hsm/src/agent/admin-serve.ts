import { parseKeyLabel, secret, SLOT_LENGTH } from '@sealfleet/format'

import { KCV_LENGTH, KCV_MESSAGE } from '../inputs.js'
import type { VendorProfile } from '../errors/classes.js'
import { classifyCkr } from '../errors/classify.js'
import type { AdminRequest, RawEvidence, RawListing } from '../wire/admin-messages.js'
import type { FrameWriter } from '../wire/frame-writer.js'
import { decodeJson, KIND, type Frame } from '../wire/frames.js'
import { readAttribute, readAttributes } from './attributes.js'
import { CKA, CKO_SECRET_KEY } from './constants.js'
import { CkrError, type Handle } from './cryptoki.js'
import { problemsOf, tryForbidden } from './evidence.js'
import { describe, OperationFailure } from './failure.js'
import { destroyHandle, generateMaster, usageOf } from './generate.js'
import { Keys } from './keys.js'
import type { Pkcs11Module } from './module.js'
import { failureOf } from './serve.js'
import type { Session } from './sessions.js'
import { tokenReport } from './token-report.js'

const MAX_LISTED = 10_000

/**
 * Key administration on one read-write session, one request after another. No request is ever replayed: making and
 * destroying keys are not idempotent.
 */
export class AdminServer {
  readonly #module: Pkcs11Module
  readonly #session: Session
  readonly #writer: FrameWriter
  readonly #keys: Keys
  readonly #profile: VendorProfile | undefined
  #queue: Promise<void> = Promise.resolve()
  #pending = 0

  constructor(module: Pkcs11Module, session: Handle, writer: FrameWriter, profile?: VendorProfile) {
    this.#module = module
    this.#profile = profile
    this.#session = { handle: session, generation: 0, leasedAt: 0, out: secret(SLOT_LENGTH), input: [] }
    this.#writer = writer
    this.#keys = new Keys(module, () => undefined, profile)
  }

  get quiet(): boolean {
    return this.#pending === 0
  }

  handle(frame: Frame): boolean {
    if (frame.kind !== KIND.ADMIN) return false
    const { id } = frame
    const request = decodeJson<AdminRequest>(frame)
    this.#pending += 1
    this.#queue = this.#queue.then(async () => {
      try {
        this.#writer.sendJson(KIND.OK, id, await this.#answer(request))
      } catch (error) {
        this.#writer.sendJson(KIND.ERROR, id, this.#failureOf(error).toMessage())
      } finally {
        this.#pending -= 1
      }
    })
    return true
  }

  async #answer(request: AdminRequest): Promise<unknown> {
    switch (request.op) {
      case 'generate':
        return this.#generate(request.label, Buffer.from(request.ckaId, 'hex'), request.acceptUnsound)
      case 'list':
        return this.#list()
      case 'check-value':
        return { kcv: await this.#checkValue(this.#find(request.label, request.ckaId)) }
      case 'known-answer':
        return { answer: await this.#knownAnswer(request.label, this.#find(request.label, request.ckaId)) }
      case 'make-record':
        return { record: await this.#makeRecord(request.label, this.#find(request.label)) }
      case 'check-record': {
        const { label, record } = request
        await this.#keys.checkRecord(this.#session, this.#find(label), label, Buffer.from(record, 'hex'))
        return {}
      }
      case 'count': {
        const query = { label: request.label, ckaId: idOf(request.ckaId) }
        return { count: this.#module.findKeys(this.#session.handle, query).length }
      }
      case 'destroy':
        return this.#destroy(request.label, request.ckaId)
      case 'token':
        return tokenReport(this.#module, this.#profile)
    }
  }

  /** Nothing is retried here: the token's return value is passed on as the verdict it stands for. */
  #failureOf(error: unknown): OperationFailure {
    if (!(error instanceof CkrError)) return failureOf(error)
    const errorClass = classifyCkr(error.ckr, error.fn, this.#profile?.rows)
    const verdicts = { configuration: 'denied', login: 'login', data: 'data' } as const
    const verdict = errorClass in verdicts ? verdicts[errorClass as keyof typeof verdicts] : 'recycle'
    return new OperationFailure(verdict, describe(error), error)
  }

  async #generate(label: string, ckaId: Buffer, acceptUnsound: boolean): Promise<RawEvidence> {
    const { handle } = this.#session
    const key = generateMaster(this.#module, handle, label, ckaId, this.#profile)
    try {
      const attributes = readAttributes(this.#module, handle, key)
      const refusals = tryForbidden(this.#module, handle, key)
      const problems = problemsOf(label, attributes, refusals)
      if (problems.length > 0 && !acceptUnsound) {
        throw new OperationFailure('denied', `the token made a key that is not a master key: ${problems.join('; ')}`)
      }
      const sign = usageOf(label) === 'sign'
      const kcv = sign ? await this.#checkValue(key) : null
      if (kcv !== null) assertCheckValue(label, kcv)
      const answer = sign ? await this.#knownAnswer(label, key) : null
      const record = sign ? null : await this.#makeRecord(label, key)
      const { token } = this.#module.identity()
      return { label, ckaId: ckaId.toString('hex'), kcv, record, answer, attributes, refusals, problems, token }
    } catch (error) {
      // Without evidence the key does not count: nothing has used it yet.
      destroyHandle(this.#module, handle, key)
      throw error
    }
  }

  async #list(): Promise<RawListing[]> {
    const template = [
      { type: CKA.CLASS, value: CKO_SECRET_KEY },
      { type: CKA.TOKEN, value: true },
    ]
    const listed: RawListing[] = []
    for (const key of this.#module.findObjects(this.#session.handle, template, MAX_LISTED)) {
      const attributes = readAttributes(this.#module, this.#session.handle, key)
      const label = String(attributes['LABEL'] ?? '')
      const ref = parseKeyLabel(label)
      if (ref === null) continue
      const kcv = ref.role === 'kek' ? null : await this.#checkValue(key)
      listed.push({ label, ckaId: String(attributes['ID'] ?? ''), kcv, attributes })
    }
    return listed
  }

  /** Returns the id of the destroyed key, so that a fresh process can look for exactly that key. */
  #destroy(label: string, ckaId?: string): { ckaId: string | undefined } {
    const { handle } = this.#session
    const key = this.#find(label, ckaId)
    const id = readAttribute(this.#module, handle, key, CKA.ID)
    destroyHandle(this.#module, handle, key)
    return { ckaId: id === null || id.length === 0 ? undefined : id.toString('hex') }
  }

  #find(label: string, ckaId?: string): Handle {
    usageOf(label)
    const [key, second] = this.#module.findKeys(this.#session.handle, { label, ckaId: idOf(ckaId) })
    if (key === undefined) throw new OperationFailure('unknown', `the token holds no key ${label}`)
    if (second !== undefined) throw new OperationFailure('mismatch', `the token holds two keys ${label}`)
    return key
  }

  async #checkValue(key: Handle): Promise<string> {
    this.#session.input = [KCV_MESSAGE]
    return (await this.#keys.checkValue(this.#session, key)).subarray(0, KCV_LENGTH).toString('hex')
  }

  async #knownAnswer(label: string, key: Handle): Promise<string> {
    this.#session.input = []
    return (await this.#keys.knownAnswer(label, this.#session, key)).toString('hex')
  }

  async #makeRecord(label: string, key: Handle): Promise<string> {
    return (await this.#keys.makeRecord(this.#session, key, label)).toString('hex')
  }
}

/** A token that computes nothing answers with eight equal bytes: no key is registered with such a value. */
function assertCheckValue(label: string, kcv: string): void {
  if (kcv !== kcv.slice(0, 2).repeat(KCV_LENGTH)) return
  throw new OperationFailure('mismatch', `the token computes nonsense with ${label}: the check value ${kcv}`)
}

function idOf(ckaId: string | undefined): Buffer | undefined {
  return ckaId === undefined ? undefined : Buffer.from(ckaId, 'hex')
}
