import type { Queryable } from '../db/records.js'
import type { Subject } from './request-body.js'
import type { CanonicalObject } from './canonical-json.js'
import { REQUEST_KINDS, type RequestKind } from './request-kinds.js'
import { requestSigners } from './request-signers.js'
import { getRequest } from './requests.js'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Tolerance, since its use is checked and recorded one after the other. */
const CLOCK_MS = 1_000

/** An action that was carried out under a request. */
interface Action {
  /** As the action names it; null: it names none. */
  readonly requestId: string | null
  readonly kind: RequestKind
  readonly subject: Subject
  /** Parts of the signed content that must match. */
  readonly detail?: CanonicalObject
}

/**
 * Why a request does not justify an action, as the end of a sentence. Undefined: it was used for exactly that action,
 * in its time, with enough operators' signatures, each verified again. As `assertUsedRequest`, for users that may only
 * read.
 */
export async function usedRequestProblem(db: Queryable, action: Action): Promise<string | undefined> {
  const { requestId: id, kind, subject, detail = {} } = action
  if (id === null) return 'no request stands behind it'
  const request = UUID.test(id) ? await getRequest(db, id) : undefined
  if (request === undefined) return `there is no request ${id}, which it names`
  if (!request.intact) return `the row of request ${id} does not say what its signed bytes say`
  if (request.kind !== kind || request.subject.kind !== subject.kind || request.subject.id !== subject.id)
    return `request ${id} is for ${request.kind} of ${request.subject.kind} ${request.subject.id}`
  const other = Object.keys(detail).find((name) => request.detail[name] !== detail[name])
  if (other !== undefined) return `request ${id} was signed with another ${other}`
  if (request.consumedAt === null) return `request ${id} was never used`
  if (request.consumedAt.getTime() > request.expiresAt.getTime() + CLOCK_MS)
    return `request ${id} was used after it had expired`
  const signers = await requestSigners(db, request, { lock: false })
  const needed = Math.max(request.required, REQUEST_KINDS[kind].atLeast)
  if (signers.length >= needed) return undefined
  const by = signers.length === 0 ? 'nobody' : signers.join(' and ')
  return `request ${id} needs ${needed} signatures that count and lacks ${needed - signers.length}: it is signed by ${by}`
}
