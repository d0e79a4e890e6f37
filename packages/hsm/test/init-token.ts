import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import type { FreshToken } from '@sealfleet/testkit'

const execute = promisify(execFile)

/** One more token in the SoftHSM of `token`, with the same PINs. */
export async function initToken(token: FreshToken, label: string): Promise<void> {
  const pins = ['--so-pin', token.soPin, '--pin', token.pin]
  const args = ['--init-token', '--free', '--label', label, ...pins, '--module', token.module]
  await execute('softhsm2-util', args, { env: { ...process.env, ...token.env } })
}
