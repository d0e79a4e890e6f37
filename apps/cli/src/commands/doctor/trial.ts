import { derivationMessages, freshNonces, nonceAad, wipe } from '@sealfleet/format'
import type { HsmPool } from '@sealfleet/hsm'
import type { KeyRow } from '@sealfleet/records'
import { randomBytes, randomUUID } from 'node:crypto'
import { CliError } from '../../cli-error.js'
import { statusOfCode } from '../../describe-error.js'

/**
 * Uses a key once, without an attempt: derives under a master key, wraps and opens nonces under a KEK, or MACs a
 * labelled message under the audit key. The result is wiped and never shown. Resolves to the milliseconds it took;
 * rejects with HsmError, KEY_MISMATCH when the key is not the registered one.
 */
export async function useOnce(pool: HsmPool, key: KeyRow): Promise<number> {
  if (key.checkValue !== null) pool.expectCheckValue(key, key.checkValue, key.knownAnswer)
  if (key.checkRecord !== null) pool.expectKekRecord(key, key.checkRecord)
  const began = performance.now()
  await (key.role === 'kek' ? wrapAndOpen(pool, key) : mac(pool, key))
  return performance.now() - began
}

/** Both key versions are this key's, since only its own role is derived. */
function attempt(key: KeyRow) {
  const { suite, domain: keyDomain, version } = key
  const ids = { fileId: randomUUID(), attemptId: randomUUID(), attemptNo: 0, createdMs: 0 }
  return { ...ids, suite, keyDomain, encKeyVersion: version, sigKeyVersion: version }
}

async function mac(pool: HsmPool, key: KeyRow): Promise<void> {
  const message = messageFor(key)
  try {
    wipe(await pool.hmac(key, message))
  } finally {
    wipe(message)
  }
}

function messageFor(key: KeyRow): Buffer {
  if (key.role === 'enc' || key.role === 'sig') {
    const nonces = freshNonces()
    const [first, ...others] = derivationMessages({ ...attempt(key), ...nonces }, key.role)
    wipe(nonces.nonceEnc, nonces.nonceSig, ...others)
    if (first !== undefined) return first
  }
  // FORMAT §2's labels have 16 bytes; no message of an audit key is as long as a digest.
  const label = Buffer.alloc(16)
  label.write('SFV1/doctor', 'latin1')
  return Buffer.concat([label, randomBytes(24)])
}

async function wrapAndOpen(pool: HsmPool, key: KeyRow): Promise<void> {
  const nonces = randomBytes(64)
  const aad = nonceAad(attempt(key))
  const wrapped = await pool.wrap(key, nonces, aad)
  const opened = await pool.unwrap(key, wrapped, aad)
  const same = opened.equals(nonces)
  wipe(nonces, opened)
  if (same) return
  throw new CliError('E_NONCE_UNWRAP', `${key.label} does not open what it has wrapped`, {
    exitStatus: statusOfCode('E_NONCE_UNWRAP'),
    fix: 'stop using the token: its AES-GCM gives wrong results',
  })
}
