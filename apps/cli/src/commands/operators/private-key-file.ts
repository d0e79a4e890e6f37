import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { rawPublicKey } from '@sealfleet/records/operators'
import { CliError, usageError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import type { Io } from '../../io.js'
import { readSmallFile } from './small-file.js'
import { askSecret } from './terminal.js'
import { printable } from '../../output/printable.js'

/** A shorter passphrase can be found within hours from the file: OpenSSL's PKCS#8 stretches keys little. */
export const SHORTEST_PASSPHRASE = 12

export interface SigningKey {
  readonly key: KeyObject
  /** 32 bytes, raw. */
  readonly publicKey: Buffer
}

/**
 * An operator's private key (PKCS#8 PEM, encrypted or not). Asks for its passphrase on the terminal unless a file holds
 * it.
 * @throws CliError USAGE for a file that is no Ed25519 private key, PASSPHRASE (status 1) for a wrong one
 */
export async function readSigningKey(io: Io, file: string, passphraseFile: string | undefined): Promise<SigningKey> {
  const pem = await readSmallFile(file)
  const encrypted = pem.includes('ENCRYPTED')
  const passphrase = encrypted
    ? await readPassphrase(io, passphraseFile, `passphrase of ${printable(file)}: `)
    : undefined
  let key: KeyObject
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) })
  } catch {
    if (!encrypted)
      throw usageError(`${printable(file)} is not a private key in PEM`, 'sealfleet operators keygen makes one')
    throw new CliError('PASSPHRASE', `the passphrase does not open ${printable(file)}`, { exitStatus: EXIT.failed })
  } finally {
    pem.fill(0)
    passphrase?.fill(0)
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw usageError(`${printable(file)} is not an Ed25519 key`, 'sealfleet operators keygen')
  return { key, publicKey: rawPublicKey(createPublicKey(key)) }
}

/** From the file without its line end, else from the terminal. The caller wipes it. */
export async function readPassphrase(io: Io, file: string | undefined, question: string): Promise<Buffer> {
  if (file === undefined) return askSecret(io, question)
  const bytes = await readSmallFile(file)
  let end = bytes.length
  if (bytes[end - 1] === 10) end -= 1
  if (bytes[end - 1] === 13) end -= 1
  return bytes.subarray(0, end)
}
