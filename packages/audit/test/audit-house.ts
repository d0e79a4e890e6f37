import { generateKeyPairSync, randomUUID, sign as signEd25519, type KeyObject } from 'node:crypto'

import { HsmPool, openKeyAdmin } from '@sealfleet/hsm'
import { activateMasterKey, registerMasterKey } from '@sealfleet/records/keys'
import {
  addOperator,
  addSignature,
  createRequest,
  enrolmentDetail,
  rawPublicKey,
  signedBytes,
  type NewOperator,
  type RequestRow,
} from '@sealfleet/records/operators'
import { freshToken } from '@sealfleet/testkit'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import type pg from 'pg'
import { expect } from 'vitest'

import { chainAudit } from '../src/chain.js'
import { checkpointAudit } from '../src/checkpoint.js'
import { verifyAudit, type AuditReport } from '../src/verify.js'
import type { AuditPorts } from '../src/terms.js'
import { openHouse, type Begun, type House } from '../../maintenance/test/support.js'

/** A house whose log can be chained and signed: with a token that holds an audit key. */
export interface AuditHouse extends House {
  readonly ports: AuditPorts
  readonly pool: HsmPool
  /** A stored file. */
  store1(): Promise<Begun>
  /** Until no transaction that is under way keeps a row of the log from being sealed. */
  sealable(): Promise<void>
  /** Chains everything that there is, in one batch, and makes a checkpoint of it. */
  checkpoint(): ReturnType<typeof checkpointAudit>
  /** What someone can do who owns the database: rules and triggers do not hold him. */
  tamper(...statements: readonly string[]): Promise<void>
  verify(options?: Parameters<typeof verifyAudit>[1]): Promise<AuditReport>
}

const AUDIT_KEY = { role: 'audit', domain: 'default', suite: 1, version: 1 } as const

/** A token with an audit key, and a pool on it. Made once for a file of tests: none of them changes the token. */
export interface AuditToken extends AsyncDisposable {
  readonly pool: HsmPool
  readonly checkValue: Uint8Array
}

export async function openAuditToken(): Promise<AuditToken> {
  const token = await freshToken()
  const options = tokenOptions(token)
  await using admin = await openKeyAdmin(options)
  await admin.generate(AUDIT_KEY)
  const checkValue = await admin.checkValue(AUDIT_KEY)
  const pool = await HsmPool.open({ tokens: [options], agents: 1, sessions: 2 })
  return {
    pool,
    checkValue,
    async [Symbol.asyncDispose]() {
      await pool.close()
      await token[Symbol.asyncDispose]()
    },
  }
}

export async function openAuditHouse({ pool, checkValue }: AuditToken): Promise<AuditHouse> {
  const house = await openHouse('radosgw')
  await registerMasterKey(house.records, { ref: AUDIT_KEY, checkValue })
  await activateMasterKey(house.records, { ref: AUDIT_KEY })
  const ports = { records: house.records, store: house.store, hsm: pool }
  // Transactions of other databases of the server hold the chain back for as long as they last: all rows are sealed at once.
  const sealable = async () => {
    const { rows } = await house.sql.query<{ yes: boolean }>(
      `SELECT coalesce(max(xact), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS yes FROM audit_log`,
    )
    return rows[0]?.yes
  }
  return {
    ...house,
    ports,
    pool,
    store1: async () => {
      const begun = await house.begin({ fileId: randomUUID() })
      await house.commit(begun, await house.upload(begun))
      return begun
    },
    sealable: () => expect.poll(sealable, { timeout: 60_000 }).toBe(true),
    checkpoint: async () => {
      await expect.poll(sealable, { timeout: 60_000 }).toBe(true)
      expect((await chainAudit(house.records)).waiting.rows).toBe(0)
      return checkpointAudit(ports)
    },
    tamper: async (...statements) => {
      const client: pg.PoolClient = await house.sql.connect()
      try {
        await client.query('BEGIN; SET LOCAL session_replication_role = replica')
        for (const statement of statements) await client.query(statement)
        await client.query('COMMIT')
      } finally {
        client.release()
      }
    },
    verify: (o) => verifyAudit(ports, o),
    [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
  }
}

/** Two officers, ann and bob, and an auditor, aud. */
export async function enrolTwo({ records }: Pick<House, 'records'>) {
  const keys = new Map<string, KeyObject>()
  const sign = async (request: RequestRow, ...names: readonly string[]) => {
    for (const operator of names) {
      const key = keys.get(operator)
      if (key === undefined) throw new Error(operator)
      const signature = signEd25519(null, signedBytes(request.body), key)
      await addSignature(records, { requestId: request.id, operator, signature })
    }
  }
  for (const name of ['ann', 'bob', 'aud']) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const role = name === 'aud' ? 'auditor' : 'officer'
    const input: NewOperator = { name, role, publicKey: rawPublicKey(publicKey), enrolledBy: 'cli:root' }
    let requestId: string | undefined
    if (name === 'aud') {
      const subject = { kind: 'operator', id: name }
      const detail = enrolmentDetail(input)
      const request = await createRequest(records, { kind: 'operators.add', subject, detail, createdBy: 'cli:root' })
      await sign(request, 'ann', 'bob')
      requestId = request.id
    }
    await records.transaction((tx) => addOperator(tx, { ...input, requestId }))
    keys.set(name, privateKey)
  }
  return { sign }
}
