/** A log that an earlier version wrote verifies, and grows, under this one: what was signed can never be written again. */
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { activateMasterKey, registerMasterKey } from '@sealfleet/records/keys'
import { appendAudit } from '@sealfleet/records/audit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { chainAudit } from '../src/chain.js'
import { checkpointAudit } from '../src/checkpoint.js'
import { verifyAudit } from '../src/verify.js'
import type { AuditPorts } from '../src/terms.js'
import { openHouse, type House } from '../../maintenance/test/support.js'

const FIXTURE = new URL('earlier/audit-log.sql', import.meta.url)

/** The audit key of the fixture, without a token. */
const hsm: AuditPorts['hsm'] = {
  hmac: (_key, message) => Promise.resolve(createHmac('sha256', Buffer.alloc(32, 7)).update(message).digest()),
  expectCheckValue: () => undefined,
  confirmed: () => hsm,
}

let house: House
let ports: AuditPorts
beforeAll(async () => {
  house = await openHouse('radosgw')
  ports = { records: house.records, store: house.store, hsm }
  const ref = { role: 'audit', domain: 'default', suite: 1, version: 1 } as const
  await registerMasterKey(house.records, { ref, checkValue: Buffer.alloc(8) })
  await activateMasterKey(house.records, { ref })
  await asOwner(await readFile(FIXTURE, 'utf8'))
})
afterAll(() => house?.[Symbol.asyncDispose]())

/** Past the rules of the tables. */
async function asOwner(statements: string): Promise<void> {
  const client = await house.sql.connect()
  try {
    await client.query(`BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL search_path = public`)
    await client.query(
      `${statements}; SELECT setval(pg_get_serial_sequence('audit_log', 'id'), max(id)) FROM audit_log`,
    )
    await client.query('COMMIT')
  } finally {
    client.release()
  }
}

test('a log of before sessions were pinned verifies, is copied to the store, and goes on', async () => {
  expect(await checkpointAudit(ports)).toMatchObject({ made: null, stored: 2, differing: [] })
  expect(await verifyAudit(ports)).toMatchObject({ rows: 5, batches: 2, checkpoints: 2, copies: 2, findings: [] })

  await appendAudit(house.records, { actor: 'a', action: 'test.note', subjectKind: 'test', subjectId: 'x', detail: {} })
  await expect.poll(async () => (await chainAudit(house.records)).waiting.rows).toBe(0)
  expect((await checkpointAudit(ports)).made?.no).toBe(3)
  expect(await verifyAudit(ports)).toMatchObject({ rows: 6, checkpoints: 3, copies: 3, findings: [] })
})

test('a time in it that is one millisecond off is found', async () => {
  await asOwner(`UPDATE audit_log SET at = at + interval '1 millisecond' WHERE id = 3`)
  const { findings } = await verifyAudit(ports)
  expect(findings.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual(['row-changed batch 1'])
})
