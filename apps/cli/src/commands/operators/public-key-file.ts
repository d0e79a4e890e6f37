import { assertPublicKey, PUBLIC_KEY_BYTES, rawPublicKey } from '@sealfleet/records/operators'
import { RecordsError } from '@sealfleet/records'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { usageError } from '../../cli-error.js'
import { readSmallFile } from './small-file.js'
import { printable } from '../../output/printable.js'

/**
 * The 32 bytes of the Ed25519 public key in a file: PEM as `openssl pkey -pubout` and `operators keygen` write it, or the
 * bytes themselves in base64 or hexadecimal. @throws CliError USAGE
 */
export async function readPublicKey(file: string): Promise<Buffer> {
  const text = (await readSmallFile(file)).toString('latin1').trim()
  if (text.includes('PRIVATE KEY')) {
    throw usageError(
      `${printable(file)} is a PRIVATE key, and must not come here`,
      'give the public one: openssl pkey -pubout',
    )
  }
  const raw = text.startsWith('-----BEGIN') ? fromPem(file, text) : fromText(text)
  if (raw === undefined) {
    throw usageError(
      `${printable(file)} holds no Ed25519 public key`,
      'PEM (openssl pkey -pubout), or 32 bytes in base64 or hex',
    )
  }
  try {
    assertPublicKey(raw)
  } catch (error) {
    throw error instanceof RecordsError ? usageError(`${printable(file)}: ${error.message}`) : error
  }
  return raw
}

function fromPem(file: string, text: string): Buffer {
  let key: KeyObject
  try {
    key = createPublicKey(text)
  } catch {
    throw usageError(`${printable(file)} is not a PEM file of a public key`, 'write it with openssl pkey -pubout')
  }
  if (key.asymmetricKeyType === 'ed25519') return rawPublicKey(key)
  throw usageError(
    `${printable(file)} is a key of type ${key.asymmetricKeyType ?? '-'}, not Ed25519`,
    'sealfleet operators keygen',
  )
}

function fromText(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return undefined
  const raw = Buffer.from(text, 'base64')
  return raw.length === PUBLIC_KEY_BYTES ? raw : undefined
}
