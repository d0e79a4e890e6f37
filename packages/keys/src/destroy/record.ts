import type { DestructionProof, RegisteredKey, TokenSet } from '@sealfleet/hsm'
import { canonicalJson, parseCanonicalJson, type CanonicalObject, type RequestRow } from '@sealfleet/records/operators'
import type { DestructionRow, SignatureEvidence } from '@sealfleet/records/keys'
import type { KeyRow } from '@sealfleet/records'
import { timingSafeEqual } from 'node:crypto'

import { AUDIT_PREFIX } from '@sealfleet/objects'
import { summaryOf } from './schedule.js'
import type { KeyNeeds } from './terms.js'

/** 16 bytes before the signed text: no other message under the audit key begins with them. */
const LABEL = Buffer.concat([Buffer.from('SFV1/destroyed', 'ascii')], 16)

export interface RecordInput {
  readonly destruction: DestructionRow
  readonly key: KeyRow
  readonly domainName: string
  readonly request: RequestRow | undefined
  readonly signatures: readonly SignatureEvidence[]
  readonly needs: KeyNeeds
  readonly proofs: readonly DestructionProof[]
  readonly at: Date
  readonly actor: string
}

/**
 * The permanently signed statement of a destruction, as canonical JSON: which key, by whose decision (with their
 * signatures and the signed bytes, so that they can be verified again), its uses, the evidence of every token
 * afterwards, and when.
 */
export function destructionRecord(input: RecordInput): Buffer {
  const { destruction, key, domainName, request, signatures, needs, proofs, at, actor } = input
  return Buffer.from(
    canonicalJson({
      v: 1,
      kind: 'destruction',
      id: destruction.id,
      key: {
        id: key.id,
        label: key.label,
        domain: key.domain,
        domainName,
        role: key.role,
        suite: key.suite,
        version: key.version,
        checkValue: key.checkValue?.toString('hex') ?? null,
        registeredAt: key.createdAt.toISOString(),
        ...madeIn(key.evidence),
      },
      tokens: proofs.map(({ token, serial, ckaId, was, found, derivation }) => ({
        token,
        serial,
        ckaId,
        was,
        find: found,
        derivation,
      })),
      request:
        request === undefined
          ? null
          : {
              id: request.id,
              body: request.body.toString('base64'),
              signatures: signatures.map((one) => ({
                operatorId: one.operatorId,
                name: one.name,
                publicKey: one.publicKey.toString('hex'),
                signature: one.signature.toString('hex'),
                signedAt: one.signedAt.toISOString(),
              })),
            },
      reason: destruction.reason,
      backups: destruction.backups,
      shred: destruction.shred,
      references: {
        ...summaryOf(needs),
        first: needs.first.map(({ where, fileId, attemptId, state }) => ({ where, fileId, attemptId, state })),
      },
      scheduledBy: destruction.scheduledBy,
      scheduledAt: destruction.scheduledAt.toISOString(),
      executeAfter: destruction.executeAfter.toISOString(),
      carriedOutBy: actor,
      destroyedAt: at.toISOString(),
    }),
  )
}

/** The recorded facts of the key's making, for comparing serial numbers and ids later. */
function madeIn(evidence: unknown): CanonicalObject {
  if (typeof evidence !== 'object' || evidence === null) return {}
  const { ckaId, token } = evidence as { ckaId?: unknown; token?: { serial?: unknown } | null }
  return {
    registeredCkaId: typeof ckaId === 'string' ? ckaId : null,
    madeInSerial: typeof token?.serial === 'string' ? token.serial : null,
  }
}

/** The input of HMAC under the audit key: label(16) `SFV1/destroyed` ‖ record. */
export function destructionMessage(record: Uint8Array): Buffer {
  return Buffer.concat([LABEL, record])
}

/** `sealfleet-audit/destructions/<label with / as ~>.json` */
export function destructionStoreKey(label: string): string {
  return `${AUDIT_PREFIX}destructions/${label.replaceAll('/', '~')}.json`
}

/** The form of the record in the store. */
export function destructionCopy(o: {
  readonly record: Uint8Array
  readonly auditKeyVersion: number
  readonly mac: Uint8Array
}): Buffer {
  const { auditKeyVersion } = o
  const [record, mac] = [o.record, o.mac].map((bytes) => Buffer.from(bytes).toString('base64'))
  return Buffer.from(canonicalJson({ v: 1, auditKeyVersion, mac: mac ?? '', record: record ?? '' }))
}

export interface VerifiedDestruction {
  readonly record: CanonicalObject
  readonly label: string
  readonly destroyedAt: Date
  readonly auditKeyVersion: number
  /** The record, and the key and MAC that sign it. */
  readonly bytes: Buffer
  readonly mac: Buffer
}

/** A destruction's record that differs from the signed one. */
export class DestructionUnproven extends Error {
  override readonly name = 'DestructionUnproven'
  readonly code = 'DESTRUCTION_UNPROVEN'
}

/**
 * Checks the bytes of a copy in the store: their form, and the MAC under the audit key that they name.
 * @param pool an HsmPool, or the MACs of {@link TokenSet}
 * @throws DestructionUnproven when they were not signed here; errors of the pool (E_KEY_UNKNOWN: the audit key is gone)
 */
export async function verifyDestructionRecord(
  pool: {
    hmac(
      key: { readonly role: 'audit'; readonly domain: string; readonly suite: 1; readonly version: number },
      message: Uint8Array,
    ): Promise<Buffer>
  },
  bytes: Uint8Array,
): Promise<VerifiedDestruction> {
  const copy = parseCanonicalJson(bytes)
  const { record: text, mac: signed, auditKeyVersion } = isObject(copy) ? copy : {}
  const whole = typeof text === 'string' && typeof signed === 'string' && typeof auditKeyVersion === 'number'
  if (!whole || auditKeyVersion < 1) throw unproven('it is not of the form of a destruction record')
  const [record, mac] = [Buffer.from(text, 'base64'), Buffer.from(signed, 'base64')]
  const key = { role: 'audit', domain: 'default', suite: 1, version: auditKeyVersion } as const
  const own = await pool.hmac(key, destructionMessage(record))
  if (mac.length !== own.length || !timingSafeEqual(own, mac))
    throw unproven(`its MAC is not that of audit key ${auditKeyVersion}`)
  const value = parseCanonicalJson(record)
  if (!isObject(value) || value['v'] !== 1 || value['kind'] !== 'destruction')
    throw unproven('it records something else')
  const { key: named, destroyedAt } = value
  const label = isObject(named) ? named['label'] : undefined
  if (typeof label !== 'string' || typeof destroyedAt !== 'string') throw unproven('it names no key or no time')
  return { record: value, label, destroyedAt: new Date(destroyedAt), auditKeyVersion, bytes: record, mac }
}

/** Signs a record. The MAC is computed twice: a token that contradicts itself signs nothing. */
export async function signRecord(tokens: TokenSet, audit: RegisteredKey, record: Uint8Array): Promise<Buffer> {
  const message = destructionMessage(record)
  const [first, second] = [await tokens.mac(audit, message), await tokens.mac(audit, message)]
  if (!first.equals(second)) throw unproven('the token answered one message with two MACs')
  return first
}

function isObject(value: unknown): value is CanonicalObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unproven(why: string): DestructionUnproven {
  return new DestructionUnproven(`a destruction record cannot be believed: ${why}`)
}
