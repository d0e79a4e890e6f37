import { createHash, randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listAudit } from '../src/audit/append-audit.js'
import { ensureDomain } from '../src/fleet/domains.js'
import { checkToken } from '../src/tokens/check-token.js'
import { createToken, type NewToken } from '../src/tokens/create-token.js'
import { getToken, listTokens } from '../src/tokens/get-token.js'
import { revokeToken } from '../src/tokens/revoke-token.js'
import { parseTokenText, tokenText } from '../src/tokens/token-text.js'
import { openFixture, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(() => f?.[Symbol.asyncDispose]())

const ACTOR = 'cli:officer'
const DAY = 86_400

function make(over: Partial<NewToken> = {}) {
  const name = `token-${randomUUID().slice(0, 8)}`
  return createToken(f.records, {
    name,
    scopes: ['read'],
    domains: null,
    expiresSeconds: DAY,
    createdBy: ACTOR,
    ...over,
  })
}

describe('the text of a token', () => {
  test('and its inverse', () => {
    const property = fc.property(fc.uuid(), fc.uint8Array({ minLength: 32, maxLength: 32 }), (id, bytes) => {
      const text = tokenText({ id, secret: Buffer.from(bytes) })
      expect(text).toMatch(/^sft_[\w-]{22}_[\w-]{43}$/)
      expect(parseTokenText(text)).toEqual({ id, secret: Buffer.from(bytes) })
    })
    fc.assert(property)
  })

  test('has one spelling', () => {
    const text = tokenText({ id: randomUUID(), secret: randomBytes(32) })
    // The last character carries four bits of the secret: of the 64, 16 are spelt as tokenText spells them.
    const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
    expect(alphabet.filter((c) => parseTokenText(text.slice(0, -1) + c) !== undefined)).toHaveLength(16)
    for (const bad of ['', 'sft_', text.toUpperCase(), `${text}\n`, ` ${text}`, text.slice(0, -1), `${text}A`, 'sft__'])
      expect(parseTokenText(bad), bad).toBeUndefined()
  })
})

describe('a token', () => {
  test('is checked by its text, and the database has only a digest of its secret', async () => {
    const { token, text } = await make({ scopes: ['verify', 'read', 'read'] })
    expect(token).toMatchObject({ scopes: ['read', 'verify'], domains: null, createdBy: ACTOR, lastUsedAt: null })
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - DAY * 1_000)).toBeLessThan(60_000)
    expect(await checkToken(f.records, text)).toMatchObject({ token: { id: token.id, name: token.name } })
    const { rows } = await f.sql.query<{ row: string; hash: Buffer }>(
      `SELECT t::text AS row, secret_hash AS hash FROM api_tokens t WHERE id = $1`,
      [token.id],
    )
    const secret = parseTokenText(text)?.secret ?? Buffer.alloc(0)
    expect(rows[0]?.hash).toEqual(createHash('sha256').update(secret).digest())
    for (const form of ['hex', 'base64', 'base64url'] as const)
      expect(rows[0]?.row).not.toContain(secret.toString(form))
    expect(Object.keys(token)).not.toContain('secretHash')
    expect(JSON.stringify(await getToken(f.records, token.name))).not.toContain('ecretHash')
  })

  test('with a wrong secret, of an unknown id and text that is no token are refused alike', async () => {
    const { token, text } = await make()
    const wrong = tokenText({ id: token.id, secret: randomBytes(32) })
    const foreign = tokenText({ id: randomUUID(), secret: parseTokenText(text)?.secret ?? Buffer.alloc(32) })
    const zero = tokenText({ id: '00000000-0000-0000-0000-000000000000', secret: Buffer.alloc(32) })
    for (const bad of [wrong, foreign, zero, '', 'sft_x_y', `${text}x`, "sft_' OR 1=1"])
      expect(await checkToken(f.records, bad), bad).toEqual({ refused: 'unknown' })
  })

  test('that was revoked or has expired is told apart for its holder alone', async () => {
    const { token, text } = await make()
    await revokeToken(f.records, { id: token.id, reason: 'leaked', actor: ACTOR })
    expect(await checkToken(f.records, text)).toEqual({ refused: 'revoked' })
    const wrong = tokenText({ id: token.id, secret: randomBytes(32) })
    expect(await checkToken(f.records, wrong)).toEqual({ refused: 'unknown' })
    const old = await make()
    const hash = createHash('sha256')
      .update(parseTokenText(old.text)?.secret ?? '')
      .digest()
    const id = randomUUID()
    // What is written does not change: a token of yesterday is written as one.
    await f.sql.query(
      `INSERT INTO api_tokens (id, name, secret_hash, scopes, all_domains, domain_ids, created_by, created_at, expires_at)
       VALUES ($1, 'old', $2, '{read}', true, '{}', 'test', now() - interval '2 days', now() - interval '1 second')`,
      [id, hash],
    )
    const secret = parseTokenText(old.text)?.secret ?? Buffer.alloc(0)
    expect(await checkToken(f.records, tokenText({ id, secret }))).toEqual({ refused: 'expired' })
  })

  test('notes its use once a minute, not at each request', async () => {
    const { token, text } = await make()
    const used = async () => (await getToken(f.records, token.id))?.lastUsedAt?.getTime()
    await Promise.all(Array.from({ length: 8 }, () => checkToken(f.records, text)))
    const first = await used()
    expect(first).toBeTypeOf('number')
    await checkToken(f.records, text)
    expect(await used()).toBe(first)
    await f.sql.query(`UPDATE api_tokens SET last_used_at = now() - interval '61 seconds' WHERE id = $1`, [token.id])
    await checkToken(f.records, text)
    expect(await used()).toBeGreaterThanOrEqual(first ?? 0)
  })

  test('may be for some domains, which exist', async () => {
    const domain = randomUUID()
    await ensureDomain(f.records, { id: domain, name: `acme-${domain}` })
    const { token, text } = await make({ domains: [domain, 'default', domain] })
    expect(token.domains).toEqual([domain, 'default'])
    expect(await checkToken(f.records, text)).toMatchObject({ token: { domains: [domain, 'default'] } })
    await expect(make({ domains: [randomUUID()] })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(make({ domains: [] })).rejects.toMatchObject({ code: 'INVALID' })
  })

  test('leaves a row in the audit log when it is made and when it is revoked, in the same transaction', async () => {
    const { token, text } = await make()
    await revokeToken(f.records, { id: token.id, reason: 'has left', actor: 'cli:other' })
    const rows = await listAudit(f.records, { subjectKind: 'token', subjectId: token.id })
    expect(rows.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      `${ACTOR} tokens.create`,
      'cli:other tokens.revoke',
    ])
    expect(rows[1]?.detail).toEqual({ name: token.name, reason: 'has left' })
    expect(JSON.stringify(rows)).not.toContain(text.slice(-43))
    const dry = await createToken(f.records.rehearsal(), {
      ...{ name: 'dry', scopes: ['read'], domains: null, expiresSeconds: DAY, createdBy: ACTOR },
    })
    expect(await getToken(f.records, dry.token.id)).toBeUndefined()
    expect(await listAudit(f.records, { subjectKind: 'token', subjectId: dry.token.id })).toEqual([])
  })

  test('has a name that is free again after it was revoked; it is revoked once', async () => {
    const { token } = await make({ name: 'erp' })
    await expect(make({ name: 'erp' })).rejects.toMatchObject({ code: 'CONFLICT' })
    const revoke = (id: string) => revokeToken(f.records, { id, reason: 'rotated', actor: ACTOR })
    expect(await revoke(token.id)).toMatchObject({ revokedBy: ACTOR })
    await expect(revoke(token.id)).rejects.toMatchObject({ code: 'BAD_STATE' })
    await expect(revoke(randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const next = await make({ name: 'erp' })
    expect((await listTokens(f.records)).filter(({ name }) => name === 'erp')).toMatchObject([{ id: next.token.id }])
    const all = (await listTokens(f.records, { revoked: true })).filter(({ name }) => name === 'erp')
    expect(all.map(({ id }) => id)).toEqual([next.token.id, token.id])
    expect(await getToken(f.records, 'erp')).toMatchObject({ id: next.token.id })
  })

  test.each([
    ['no name', { name: '' }],
    ['a name that is an id', { name: randomUUID() }],
    ['a name with a line end', { name: 'a\nb' }],
    ['no scope', { scopes: [] }],
    ['a scope that does not exist', { scopes: ['root' as never] }],
    ['an end before a minute', { expiresSeconds: 59 }],
    ['an end after ten years', { expiresSeconds: 3_650 * DAY + 1 }],
    ['half a second', { expiresSeconds: 60.5 }],
  ])('is refused with %s', async (_, over) => {
    await expect(make(over)).rejects.toMatchObject({ code: 'INVALID' })
  })

  test.each([
    ['its scopes', `scopes = '{remove}'`],
    ['its end', `expires_at = expires_at + interval '1 day'`],
    ['its domains', `all_domains = false, domain_ids = ARRAY[gen_random_uuid()]`],
    ['its secret', `secret_hash = sha256('x')`],
  ])('keeps %s against every writer of the table', async (_, change) => {
    const { token } = await make()
    await expect(f.sql.query(`UPDATE api_tokens SET ${change} WHERE id = $1`, [token.id])).rejects.toMatchObject({
      constraint: 'api_tokens_fixed',
    })
    await expect(f.sql.query('DELETE FROM api_tokens')).rejects.toThrow()
  })
})
