import {
  parseRequestBody,
  REQUEST_KINDS,
  signatureFits,
  type CanonicalObject,
  type CanonicalValue,
  type RequestBody,
} from '@sealfleet/records/operators'
import { RecordsError } from '@sealfleet/records'

import { DESTROY_KIND } from './request.js'

/** A signer of a destruction's request, as in its record. */
export interface Signer {
  readonly name: string
  /** 32 bytes. */
  readonly publicKey: Buffer
}

/** The result of checking the signatures in a destruction's record. */
export interface SignedBy {
  /** Signers with valid signatures, each key once. */
  readonly signers: readonly Signer[]
  /** Empty: the required number of different people signed this key's destruction. */
  readonly problems: readonly string[]
}

/**
 * Checks the operators' signatures in a destruction's record, by the public keys in the record, and that the signed
 * text is the destruction of this key. Needs no database: the caller compares those keys with the enrolled ones.
 */
export function checkSignatures(record: CanonicalObject): SignedBy {
  const request = objectOf(record['request'])
  if (request === undefined) return { signers: [], problems: ['the record holds no request'] }
  const bytes = Buffer.from(textOf(request['body']), 'base64')
  const body = bodyOf(bytes)
  if (body === undefined) return { signers: [], problems: ['what was signed is no request'] }
  const problems = [...contradictions(record, request, body)]
  const signers = new Map<string, Signer>()
  for (const one of listOf(request['signatures'])) {
    const [name, publicKey] = [textOf(one['name']), Buffer.from(textOf(one['publicKey']), 'hex')]
    if (isRight(bytes, publicKey, Buffer.from(textOf(one['signature']), 'hex')))
      signers.set(publicKey.toString('hex'), { name, publicKey })
    else problems.push(`the signature of ${name} is not one of this request`)
  }
  const needed = Math.max(body.required, REQUEST_KINDS[DESTROY_KIND].atLeast)
  if (signers.size < needed) problems.push(`${signers.size} of ${needed} signatures are right`)
  return { signers: [...signers.values()], problems }
}

function* contradictions(record: CanonicalObject, request: CanonicalObject, body: RequestBody): Generator<string> {
  const key = objectOf(record['key']) ?? {}
  if (body.kind !== DESTROY_KIND || body.id !== request['id']) yield 'what was signed is another request'
  if (body.subject.kind !== 'key' || body.subject.id !== key['id'] || body.detail['label'] !== key['label'])
    yield 'what was signed is about another key'
  const { domain, domainName } = key
  if (body.version > 1 && (body.detail['domain'] !== domain || body.detail['domainName'] !== domainName))
    yield 'what was signed names another domain'
  if (body.detail['checkValue'] !== key['checkValue']) yield 'what was signed names another check value'
  if (body.detail['reason'] !== record['reason'] || body.detail['backups'] !== record['backups'])
    yield 'what was signed gives another reason, or other backups'
  if ((body.detail['shredFiles'] !== null) !== record['shred'])
    yield 'what was signed says otherwise of the files that are given up'
}

function bodyOf(bytes: Uint8Array): RequestBody | undefined {
  try {
    return parseRequestBody(bytes)
  } catch (error) {
    if (error instanceof RecordsError) return undefined
    throw error
  }
}

function isRight(body: Uint8Array, publicKey: Uint8Array, signature: Uint8Array): boolean {
  try {
    return signatureFits({ body, publicKey, signature })
  } catch (error) {
    if (error instanceof RecordsError) return false
    throw error
  }
}

function objectOf(value: CanonicalValue | undefined): CanonicalObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as CanonicalObject) : undefined
}

function listOf(value: CanonicalValue | undefined): readonly CanonicalObject[] {
  const list = Array.isArray(value) ? (value as readonly CanonicalValue[]) : []
  return list.map(objectOf).filter((one) => one !== undefined)
}

function textOf(value: CanonicalValue | undefined): string {
  return typeof value === 'string' ? value : ''
}
