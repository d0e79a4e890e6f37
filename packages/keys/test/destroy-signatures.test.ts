import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'

import {
  rawPublicKey,
  requestBody,
  signedBytes,
  type CanonicalObject,
  type RequestBody,
} from '@sealfleet/records/operators'
import { describe, expect, test } from 'vitest'

import { checkSignatures } from '../src/destroy/signatures.js'

const KEY = {
  ...{ id: randomUUID(), label: 'sealfleet/default/enc/s1/1', checkValue: '0011223344556677' },
  ...{ domain: 'default', domainName: 'invoices' },
}
const [ann, bob, eve] = [person('ann'), person('bob'), person('eve')]

interface Person {
  readonly name: string
  readonly publicKey: Buffer
  readonly privateKey: KeyObject
}

function person(name: string): Person {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { name, privateKey, publicKey: rawPublicKey(publicKey) }
}

function body(o: Partial<RequestBody> = {}): RequestBody {
  const detail = {
    domain: KEY.domain,
    domainName: KEY.domainName,
    label: KEY.label,
    checkValue: KEY.checkValue,
    reason: 'r',
    backups: 'b',
    waitSeconds: 1,
    shredFiles: 3,
  }
  const times = { createdAt: new Date(1_700_000_000_000), expiresAt: new Date(1_700_000_100_000) }
  return {
    version: 2,
    id: randomUUID(),
    kind: 'keys.destroy',
    subject: { kind: 'key', id: KEY.id },
    detail,
    required: 2,
    ...times,
    ...o,
  }
}

const by = ({ name, publicKey, privateKey }: Person, bytes: Buffer, as: Partial<Person> = {}): CanonicalObject => ({
  name: as.name ?? name,
  publicKey: (as.publicKey ?? publicKey).toString('hex'),
  signature: sign(null, signedBytes(bytes), privateKey).toString('hex'),
})

function record(
  request: RequestBody = body(),
  signatures = (bytes: Buffer): CanonicalObject[] => [by(ann, bytes), by(bob, bytes)],
  more: CanonicalObject = {},
): CanonicalObject {
  const bytes = requestBody(request)
  return {
    ...{ key: KEY, reason: 'r', backups: 'b', shred: true },
    request: { id: request.id, body: bytes.toString('base64'), signatures: signatures(bytes) },
    ...more,
  }
}

describe('the signatures in a destruction’s record', () => {
  test('of two people over the destruction of this key are right, and say whose keys they are by', () => {
    const { signers, problems } = checkSignatures(record())
    expect(problems).toEqual([])
    expect(signers.map(({ name, publicKey }) => [name, publicKey])).toEqual([
      ['ann', ann.publicKey],
      ['bob', bob.publicKey],
    ])
  })

  test('of a request of version 1, which has no name of the domain, stay right', () => {
    const { domain: _domain, domainName: _name, ...detail } = body().detail
    expect(checkSignatures(record(body({ version: 1, detail }))).problems).toEqual([])
  })

  const detail = body().detail
  test.each<readonly [string, CanonicalObject, RegExp]>([
    ['one person', record(body(), (bytes) => [by(ann, bytes)]), /1 of 2/],
    [
      'one person twice, under two names',
      record(body(), (bytes) => [by(ann, bytes), by(ann, bytes, { name: 'x' })]),
      /1 of 2/,
    ],
    [
      'somebody in another’s name',
      record(body(), (bytes) => [by(ann, bytes), by(eve, bytes, bob)]),
      /signature of bob/,
    ],
    [
      'two people over other bytes',
      record(body(), () => [ann, bob].map((one) => by(one, requestBody(body())))),
      /0 of 2/,
    ],
    ['two people, of whom the request wants three', record(body({ required: 3 })), /2 of 3/],
    [
      'two people, and the request says that one is enough',
      record(body({ required: 1 }), (b) => [by(ann, b)]),
      /1 of 2/,
    ],
    ['two people over another key', record(body({ subject: { kind: 'key', id: randomUUID() } })), /another key/],
    ['two people over another label', record(body({ detail: { ...detail, label: 'x' } })), /another key/],
    ['two people over another check value', record(body({ detail: { ...detail, checkValue: null } })), /check value/],
    [
      'two people over a domain of another name',
      record(body({ detail: { ...detail, domainName: 'x' } })),
      /another domain/,
    ],
    ['two people over another domain', record(body({ detail: { ...detail, domain: 'x' } })), /another domain/],
    ['two people over another kind of deed', record(body({ kind: 'file.shred' })), /another request/],
    ['two people for another reason', record(body(), undefined, { reason: 'x' }), /another reason/],
    [
      'two people who gave no file up',
      record(body({ detail: { ...detail, shredFiles: null } })),
      /files that are given up/,
    ],
    ['nobody', record(body(), undefined, { request: null }), /no request/],
    [
      'people over no request',
      record(body(), undefined, { request: { body: 'e30=', signatures: [] } }),
      /is no request/,
    ],
  ])('by %s are not', (_who, forged, message) => {
    expect(checkSignatures(forged).problems).toContainEqual(expect.stringMatching(message))
  })
})
