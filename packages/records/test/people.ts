/** What tests of operators and their requests share. */
import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { addOperator, enrolmentDetail, type NewOperator } from '../src/operators/operators.js'
import { addSignature } from '../src/operators/add-signature.js'
import { consumeRequest } from '../src/operators/consume-request.js'
import { createRequest, type NewRequest } from '../src/operators/requests.js'
import { rawPublicKey } from '../src/operators/public-key.js'
import { signedBytes } from '../src/operators/request-body.js'
import type { OperatorRow } from '../src/operators/operator-row.js'
import type { RequestRow } from '../src/operators/request-row.js'
import { openFixture, type Fixture } from './support.js'

export interface Person {
  readonly row: OperatorRow
  readonly key: KeyObject
}

export let f: Fixture
export let ann: Person, bob: Person, cyd: Person, aud: Person

/** For a test file: a database of its own with three officers and an auditor. */
export function withPeople(): void {
  beforeAll(async () => {
    f = await openFixture()
    ann = await enrol('ann')
    bob = await enrol('bob')
    cyd = await enrol('cyd', { signers: [ann, bob] })
    aud = await enrol('aud', { role: 'auditor', signers: [ann, bob] })
  })
  afterAll(() => f?.[Symbol.asyncDispose]())
}

export function keys() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { privateKey, publicKey: rawPublicKey(publicKey) }
}

export async function enrol(
  name: string,
  o: { role?: 'auditor'; signers?: readonly Person[]; in?: Fixture } = {},
): Promise<Person> {
  const { privateKey, publicKey } = keys()
  const at = o.in ?? f
  const input: NewOperator = { name, role: o.role ?? 'officer', publicKey, enrolledBy: 'cli:root' }
  let requestId: string | undefined
  if (o.signers !== undefined) {
    const subject = { kind: 'operator', id: name }
    const made = await createRequest(at.records, {
      kind: 'operators.add',
      subject,
      detail: enrolmentDetail(input),
      createdBy: 'cli:root',
    })
    for (const signer of o.signers) await approve(made, signer, at)
    requestId = made.id
  }
  return { row: await at.records.transaction((tx) => addOperator(tx, { ...input, requestId })), key: privateKey }
}

export function approve(request: RequestRow, by: Person, at = f): Promise<RequestRow> {
  const signature = sign(null, signedBytes(request.body), by.key)
  return addSignature(at.records, { requestId: request.id, operator: by.row.name, signature })
}

export const SUBJECT = { kind: 'file', id: randomUUID() }
export function ask(over: Partial<NewRequest> = {}): Promise<RequestRow> {
  const detail = { reason: 'asked to' }
  return createRequest(f.records, { kind: 'file.shred', subject: SUBJECT, detail, createdBy: 'cli:root', ...over })
}

export function use(id: string, over: Partial<Parameters<typeof consumeRequest>[1]> = {}): Promise<RequestRow> {
  const input = { id, kind: 'file.shred', subject: SUBJECT, consumedBy: 'cli:root', ...over } as const
  return f.records.transaction((tx) => consumeRequest(tx, input))
}
