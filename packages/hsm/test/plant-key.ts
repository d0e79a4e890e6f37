import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import type { FreshToken } from '@sealfleet/testkit'

const execute = promisify(execFile)
const SCRIPT = fileURLToPath(new URL('create-object.mjs', import.meta.url))

/**
 * Puts a secret under a label of ours behind Sealfleet's back, as a restore gone wrong would. With a known value it is also
 * the only way to compare the token's answers with another implementation.
 */
export async function plantKey(token: FreshToken, label: string, value: Buffer = randomBytes(32)): Promise<void> {
  const args = [SCRIPT, token.module, token.label, token.pin, label, value.toString('hex')]
  await execute(process.execPath, args, { env: { ...process.env, ...token.env } })
}
