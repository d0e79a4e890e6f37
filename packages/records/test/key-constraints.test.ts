import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openFixture, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

type Row = Record<string, unknown>

async function insert(table: string, row: Row): Promise<string> {
  const columns = Object.keys(row)
  const places = columns.map((_, i) => `$${i + 1}`).join(', ')
  try {
    await f.sql.query(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places})`, Object.values(row))
    return 'accepted'
  } catch (error) {
    return (error as { constraint?: string }).constraint ?? String(error)
  }
}

const DEFAULT = '00000000-0000-0000-0000-000000000000'

function encKey(version: number, over: Row = {}): Row {
  return {
    id: randomUUID(),
    domain_id: DEFAULT,
    role: 'ENC',
    suite: 1,
    version,
    label: `sealfleet/default/enc/s1/${version}`,
    check_value: randomBytes(8),
    ...over,
  }
}

describe('master keys', () => {
  test('of every role are accepted under the label that follows from their name', async () => {
    const domain = randomUUID()
    await f.sql.query(`INSERT INTO key_domains (id, name) VALUES ($1, 'other')`, [domain])
    const rows: Row[] = [
      encKey(10),
      encKey(1, { domain_id: domain, suite: 2, label: `sealfleet/${domain}/enc/s2/1` }),
      encKey(10, { role: 'SIG', label: 'sealfleet/default/sig/s1/10' }),
      encKey(10, { role: 'KEK', label: 'sealfleet/default/kek/10', check_value: null }),
      encKey(10, { role: 'AUDIT', label: 'sealfleet/audit/10' }),
    ]
    for (const row of rows) expect(await insert('master_keys', row)).toBe('accepted')
  })

  test.each<[string, Row, string]>([
    ['version 0', encKey(0), 'master_keys_version'],
    ['suite 3', encKey(20, { suite: 3, label: 'sealfleet/default/enc/s3/20' }), 'master_keys_suite'],
    [
      'a KEK of suite 2',
      encKey(20, { role: 'KEK', suite: 2, check_value: null, label: 'sealfleet/default/kek/20' }),
      'master_keys_suite',
    ],
    [
      'an unknown domain',
      encKey(20, {
        domain_id: 'b8f8b1a8-0000-4000-8000-000000000000',
        label: 'sealfleet/b8f8b1a8-0000-4000-8000-000000000000/enc/s1/20',
      }),
      'master_keys_domain_id_fkey',
    ],
    ['another’s label', encKey(20, { label: 'sealfleet/default/sig/s1/20' }), 'master_keys_label'],
    ['another version’s label', encKey(20, { label: 'sealfleet/default/enc/s1/21' }), 'master_keys_label'],
    ['no check value', encKey(20, { check_value: null }), 'master_keys_check_value'],
    ['a check value of 7 bytes', encKey(20, { check_value: randomBytes(7) }), 'master_keys_check_value'],
    [
      'a KEK with a check value',
      encKey(20, { role: 'KEK', label: 'sealfleet/default/kek/20' }),
      'master_keys_check_value',
    ],
    ['a check record for an enc key', encKey(20, { check_record: randomBytes(92) }), 'master_keys_check_record'],
    [
      'an active KEK without its check record',
      encKey(20, {
        role: 'KEK',
        label: 'sealfleet/default/kek/20',
        check_value: null,
        state: 'ACTIVE',
        activated_at: new Date(),
      }),
      'master_keys_check_record',
    ],
    ['ACTIVE since never', encKey(20, { state: 'ACTIVE' }), 'master_keys_times'],
    ['DECRYPT_ONLY since never', encKey(20, { state: 'DECRYPT_ONLY', activated_at: new Date() }), 'master_keys_times'],
    ['DESTROY_SCHEDULED for no time', encKey(20, { state: 'DESTROY_SCHEDULED' }), 'master_keys_times'],
    ['DESTROYED at no time', encKey(20, { state: 'DESTROYED' }), 'master_keys_times'],
    ['PENDING and destroyed', encKey(20, { destroyed_at: new Date() }), 'master_keys_times'],
    ['a second ACTIVE one', encKey(20, { state: 'ACTIVE', activated_at: new Date() }), 'master_keys_one_active'],
    [
      'a version twice, of another suite',
      encKey(1, { suite: 2, label: 'sealfleet/default/enc/s2/1' }),
      'master_keys_domain_id_role_version_key',
    ],
  ])('never with %s', async (_, row, rule) => {
    expect(await insert('master_keys', row)).toBe(rule)
  })
})

describe('domains', () => {
  test.each<[string, Row, string]>([
    ['suite 0', { suite: 0 }, 'key_domains_suite'],
    ['segments of 2^15', { seg_log2: 15 }, 'key_domains_seg_log2'],
    ['no name', { name: '' }, 'key_domains_name'],
    ['detached nonces that no one answered for', { nonce_mode: 'DETACHED' }, 'key_domains_loss_acknowledged'],
    ['a name twice', { name: 'default' }, 'key_domains_name_key'],
  ])('never with %s', async (_, over, rule) => {
    expect(await insert('key_domains', { id: randomUUID(), name: randomUUID(), ...over })).toBe(rule)
  })
})

describe('dead letters, failures, workers, PIN lockouts', () => {
  const letter = { code: 'SOURCE_MISSING', class: 'permanent-source', reason: 'gone' }
  test.each<[string, string, Row, string]>([
    ['dead_letters', 'neither file nor job', { id: randomUUID(), ...letter }, 'dead_letters_subject'],
    [
      'dead_letters',
      'a code in small letters',
      { id: randomUUID(), job_id: 'j', ...letter, code: 'oops' },
      'dead_letters_code',
    ],
    [
      'dead_letters',
      'a fingerprint of 3 bytes',
      { id: randomUUID(), job_id: 'j', ...letter, request_fingerprint: randomBytes(3) },
      'dead_letters_fingerprint',
    ],
    [
      'dead_letters',
      'REPLAYED by nobody',
      { id: randomUUID(), job_id: 'j', ...letter, state: 'REPLAYED' },
      'dead_letters_resolution',
    ],
    [
      'dead_letters',
      'DISCARDED without a reason',
      { id: randomUUID(), job_id: 'j', ...letter, state: 'DISCARDED', resolved_at: new Date(), resolved_by: 'me' },
      'dead_letters_resolution',
    ],
    [
      'workers',
      'an expiry in the past of its heartbeat',
      { id: 'w', host: 'h', pid: 1, version: '0', state: 'READY', concurrency: 1, expires_at: new Date(0) },
      'workers_sane',
    ],
    ['hsm_latches', 'no serial', { token_serial: '', pin_id: 'p', state: 'PROVEN', set_by: 'w' }, 'hsm_latches_named'],
    ['batches', 'less than nothing expected', { id: randomUUID(), expected: -1, created_by: 'me' }, 'batches_expected'],
  ])('%s: never %s', async (table, _, row, rule) => {
    expect(await insert(table, row)).toBe(rule)
  })
})
