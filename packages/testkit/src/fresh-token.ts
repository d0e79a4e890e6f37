import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { requireVariable } from './environment.js'
import { freshHex } from './names.js'
import { tempDir } from './temp-dir.js'

const execute = promisify(execFile)

export interface FreshToken extends AsyncDisposable {
  /** Path of SoftHSM's PKCS#11 module. */
  readonly module: string
  readonly label: string
  /** The user's PIN. */
  readonly pin: string
  readonly soPin: string
  /** A file of mode 0600 that holds the user's PIN and nothing else. */
  readonly pinFile: string
  /** The environment variables by which a process finds this token and no other; set before it loads the module. */
  readonly env: { readonly SOFTHSM2_CONF: string }
  /** Directory of this token alone: `softhsm2.conf`, `pin`, and the token's files below `tokens/`. */
  readonly dir: string
}

/**
 * A SoftHSM with one initialised token in a directory of its own, removed when disposed of. Test PINs go over a command
 * line; a real token's would not.
 *
 * @param options.label at most 32 bytes
 */
export async function freshToken(options: { label?: string; pin?: string; soPin?: string } = {}): Promise<FreshToken> {
  const module = requireVariable('SEALFLEET_TEST_SOFTHSM_MODULE')
  const label = options.label ?? `test-${freshHex()}`
  const pin = options.pin ?? String(randomInt(10 ** 7, 10 ** 8))
  const soPin = options.soPin ?? String(randomInt(10 ** 7, 10 ** 8))
  const directory = await tempDir()
  try {
    const dir = directory.path
    await mkdir(join(dir, 'tokens'), { mode: 0o700 })
    const conf = join(dir, 'softhsm2.conf')
    const settings = [
      `directories.tokendir = ${join(dir, 'tokens')}`,
      'objectstore.backend = file',
      'log.level = ERROR',
    ]
    await writeFile(conf, `${settings.join('\n')}\n`)
    const pinFile = join(dir, 'pin')
    await writeFile(pinFile, pin, { mode: 0o600 })
    const env = { SOFTHSM2_CONF: conf }
    const args = ['--init-token', '--free', '--label', label, '--so-pin', soPin, '--pin', pin, '--module', module]
    await execute('softhsm2-util', args, { env: { ...process.env, ...env } })
    const dispose = async (): Promise<void> => await directory[Symbol.asyncDispose]()
    return { module, label, pin, soPin, pinFile, env, dir, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await directory[Symbol.asyncDispose]()
    throw error
  }
}
