import { fileBalance, getFile, traceFile } from '@sealfleet/records/files'
import { listAudit } from '@sealfleet/records/audit'
import { placeHold, releaseHold, removeFile } from '@sealfleet/records/deletion'
import { setDomain } from '@sealfleet/records/fleet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { SweepActions as Hands } from '../src/sweep-actions.js'
import { AUDIT_PREFIX } from '@sealfleet/objects'
import { expire } from '../src/expire.js'
import { scan } from '../src/scan.js'
import { sweep, sweepDeleted } from '../src/sweep.js'
import { emptyReport } from '../src/terms.js'
import { openHouse, type Begun, type House } from './support.js'

const NOW = { graceSeconds: 0, actor: 'test' }
const HOUR = { graceSeconds: 3_600, actor: 'test' }

describe.each([
  ['s3rver', 's3rver', {}],
  ['radosgw with versions', 'radosgw', { versioning: true }],
] as const)('on %s', (_, kind, options) => {
  let house: House
  beforeAll(async () => {
    house = await openHouse(kind, options)
  })
  afterAll(() => house?.[Symbol.asyncDispose]())

  const keys = async () => (await house.inStore()).map((name) => name.replace(/@.*/, ''))

  async function stored(fileId?: string): Promise<Begun> {
    const begun = await house.begin(fileId === undefined ? {} : { fileId })
    await house.commit(begun, await house.upload(begun))
    return begun
  }

  const remove = ({ fileId }: Begun) => removeFile(house.records, { fileId, actor: 'somebody', reason: 'unwanted' })

  /** A file that was sealed again: what a rekey writes at its commit, and both objects. */
  async function sealedAnew(supersededSecondsAgo: number) {
    const old = await stored()
    const next = { ...old, attemptId: crypto.randomUUID(), attemptNo: 2 }
    const young = { ...next, key: `default/${old.fileId}/${next.attemptId}` }
    const put = await house.upload(young)
    const client = await house.sql.connect()
    try {
      await client.query('BEGIN')
      await client.query('SET CONSTRAINTS files_id_committed_attempt_id_committed_state_fkey DEFERRED')
      await client.query(
        `UPDATE attempts SET state = 'SUPERSEDED', superseded_at = clock_timestamp() - make_interval(secs => $2) WHERE id = $1`,
        [old.attemptId, supersededSecondsAgo],
      )
      await client.query(
        `INSERT INTO attempts (id, file_id, domain_id, attempt_no, generation, state, owner, suite, seg_log2, enc_key_id, sig_key_id,
           nonce_id_enc, nonce_id_sig, wrapped_nonces, nonce_enc, nonce_sig, bucket, object_key, object_version, etag, object_length,
           plaintext_length, htag, fmac, ended_at)
         SELECT $2, file_id, domain_id, attempt_no + 1, generation, 'COMMITTED', owner, suite, seg_log2, enc_key_id, sig_key_id,
           sha256('\\x534656312f6e6f6e63652d6964000000'::bytea || sha256(nonce_enc)),
           sha256('\\x534656312f6e6f6e63652d6964000000'::bytea || sha256(nonce_sig)),
           NULL, sha256(nonce_enc), sha256(nonce_sig), bucket, $3, $4, $5, object_length, plaintext_length, htag, fmac, now()
         FROM attempts WHERE id = $1`,
        [old.attemptId, young.attemptId, young.key, put.version ?? null, put.etag],
      )
      await client.query(`UPDATE files SET committed_attempt_id = $2, last_attempt_no = 2 WHERE id = $1`, [
        old.fileId,
        young.attemptId,
      ])
      await client.query('COMMIT')
    } finally {
      client.release()
    }
    return { old, young }
  }

  test('every object of a removed file goes with the next sweep, whatever its attempts ended as; its record stays', async () => {
    const dead = await house.begin()
    await house.upload(dead)
    await house.expireLease(dead)
    const kept = await stored(dead.fileId)
    const other = await stored()
    expect(await remove(kept)).toEqual({ outcome: 'removed' })
    expect(await sweep(house, { ...NOW, dryRun: true })).toMatchObject({ objectsDeleted: 2 })
    expect(await keys()).toEqual(expect.arrayContaining([dead.key, kept.key]))
    // The next claim has closed the dead attempt, so both go at once.
    expect(await sweep(house, NOW)).toMatchObject({ abandoned: 0, swept: 2, objectsDeleted: 2, found: 0 })
    expect(await keys()).not.toContain(dead.key)
    expect(await keys()).not.toContain(kept.key)
    expect(await keys()).toContain(other.key)
    expect(await sweep(house, NOW)).toMatchObject({ swept: 0, objectsDeleted: 0 })
    const trace = await traceFile(house.records, kept.fileId)
    expect(trace?.file.deletion).toMatchObject({ kind: 'REMOVED', by: 'somebody', sweptAt: expect.any(Date) as Date })
    expect(trace?.attempts.map(({ state }) => state)).toEqual(['ABANDONED', 'COMMITTED'])
    expect(trace?.audit.map(({ action }) => action)).toEqual([
      'file.commit',
      'files.remove',
      'sweep.delete',
      'sweep.delete',
    ])
    expect(await fileBalance(house.records)).toMatchObject({ difference: 0, strayCommits: 0 })
  })

  test('a removed file’s objects go at once when someone asks for it, and once', async () => {
    const file = await stored()
    await remove(file)
    expect(await sweepDeleted(house, file.fileId, { actor: 'cli:somebody' })).toMatchObject({
      objectsDeleted: 1,
      swept: 1,
    })
    expect(await keys()).not.toContain(file.key)
    expect((await getFile(house.records, file.fileId))?.file.deletion?.sweptAt).toBeInstanceOf(Date)
    expect(await sweepDeleted(house, file.fileId, { actor: 'cli:somebody' })).toMatchObject({ objectsDeleted: 0 })
    const living = await stored()
    expect(await sweepDeleted(house, living.fileId, { actor: 'cli:somebody' })).toMatchObject({ objectsDeleted: 0 })
    expect(await keys()).toContain(living.key)
  })

  test('a scan deletes what came late of a removed file', async () => {
    const file = await stored()
    await remove(file)
    await sweep(house, NOW)
    await house.upload(file)
    expect(await sweep(house, NOW)).toMatchObject({ objectsDeleted: 0 })
    expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 1, unknown: 0, onlyCopies: 0, found: 0 })
    expect(await keys()).not.toContain(file.key)
  })

  test('a superseded object stays for its own grace, also under a hold no longer, and goes only when the present one is seen', async () => {
    const young = await sealedAnew(86_400 - 600)
    const old = await sealedAnew(86_400 + 600)
    const lost = await sealedAnew(86_400 + 600)
    for (const name of await house.inStore())
      if (name.startsWith(lost.young.key)) await house.store.deleteVersion(lost.young.key, name.split('@')[1])
    const hold = await placeHold(house.records, {
      target: { fileId: old.old.fileId },
      reason: 'lawsuit',
      actor: 'test',
    })
    for (const look of [sweep, scan]) {
      const dry = await look(house, { ...NOW, dryRun: true })
      expect(dry).toMatchObject({
        objectsDeleted: 1,
        found: 1,
        findings: [{ kind: 'missing', fileId: lost.old.fileId }],
      })
    }
    expect(await sweep(house, { ...NOW, supersededGraceSeconds: 2 * 86_400 })).toMatchObject({ objectsDeleted: 0 })
    expect(await sweep(house, HOUR)).toMatchObject({ objectsDeleted: 1, found: 1 })
    const left = await keys()
    expect(left).toEqual(
      expect.arrayContaining([young.old.key, young.young.key, old.young.key, lost.old.key].map((key) => key)),
    )
    expect(left).not.toContain(old.old.key)
    expect(await scan(house, { ...NOW, supersededGraceSeconds: 0 })).toMatchObject({ objectsDeleted: 1, found: 1 })
    expect(await keys()).not.toContain(young.old.key)
    await releaseHold(house.records, { id: hold.id, reason: 'over', actor: 'test' })
    // Of a deleted file it goes at once, and no one looks for the present one.
    await remove(lost.young)
    expect(await sweep(house, HOUR)).toMatchObject({ objectsDeleted: 1, found: 0 })
    expect(await keys()).not.toContain(lost.old.key)
  })

  test('a file that is deleted while its record is looked at is no finding', async () => {
    const file = await stored()
    const committed = (await getFile(house.records, file.fileId))?.committed
    if (committed === null || committed === undefined) throw new Error('it is stored')
    const kept = {
      ...{ attemptId: file.attemptId, bucket: committed.bucket, objectKey: file.key },
      ...{ version: committed.objectVersion, etag: committed.etag, length: committed.objectLength },
    }
    await remove(file)
    await sweepDeleted(house, file.fileId, { actor: 'test' })
    const report = emptyReport(false)
    expect(await new Hands(house, NOW, report).isKept(kept, file.fileId)).toBe(false)
    expect(report.found).toBe(0)
  })

  test('what lies below the audit prefix is neither counted nor deleted, even under a deleted file’s own name', async () => {
    const file = await stored()
    await remove(file)
    await sweep(house, NOW)
    const names = [`${AUDIT_PREFIX}checkpoints/1`, `${AUDIT_PREFIX}${file.key}`]
    for (const key of names) await house.upload({ ...file, key })
    expect(await scan(house, NOW)).toMatchObject({ objectsDeleted: 0, unknown: 0 })
    await sweep(house, NOW)
    const left: string[] = []
    for await (const { key } of house.store.list(AUDIT_PREFIX)) left.push(key)
    expect(left.sort()).toEqual([...names].sort())
  })

  test('retention: counted by a dry run, deleted in batches, their objects swept, held ones kept', async () => {
    const files = await Promise.all(Array.from({ length: 5 }, () => stored()))
    const [held] = files
    const ids = files.map(({ fileId }) => fileId)
    await house.sql.query(`UPDATE files SET stored_at = stored_at - interval '100 days' WHERE id = ANY ($1)`, [ids])
    await house.records.transaction((tx) => setDomain(tx, 'default', { retentionDays: 90 }))
    const target = { fileId: held?.fileId ?? '' }
    const hold = await placeHold(house.records, { target, reason: 'lawsuit', actor: 'test' })
    const looked = await expire(house, { actor: 'test', dryRun: true })
    expect(looked).toMatchObject({ dryRun: true, due: 4, held: 1, expired: 0 })
    const batches: number[] = []
    const report = await expire(house, { actor: 'test', batchSize: 3, onProgress: (n) => batches.push(n) })
    expect(report).toMatchObject({ due: 4, held: 1, expired: 4 })
    expect(batches).toEqual([3, 4])
    expect(await sweep(house, HOUR)).toMatchObject({ objectsDeleted: 4 })
    expect((await keys()).filter((key) => files.some((file) => file.key === key))).toEqual([held?.key])
    const audit = await listAudit(house.records, { subjectKind: 'file', subjectId: ids[1] ?? '' })
    expect(audit.map(({ action }) => action)).toEqual(['file.commit', 'files.expire', 'sweep.delete'])
    await releaseHold(house.records, { id: hold.id, reason: 'over', actor: 'test' })
    const stopped = AbortSignal.abort(new Error('stopped'))
    await expect(expire(house, { actor: 'test', signal: stopped })).rejects.toThrow('stopped')
    expect(await expire(house, { actor: 'test', domain: 'default' })).toMatchObject({ expired: 1, held: 0 })
  })
})
