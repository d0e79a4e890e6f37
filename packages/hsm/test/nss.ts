import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { tempDir } from '@sealfleet/testkit'

import type { TokenOptions } from '../src/options.js'

const execute = promisify(execFile)
const INIT = fileURLToPath(new URL('nss-init.mjs', import.meta.url))
const MODULES = ['/usr/lib/x86_64-linux-gnu/libsoftokn3.so', '/usr/lib/aarch64-linux-gnu/libsoftokn3.so']
const PIN = '24681357'

/** Of Debian's libnss3, which the test scripts install; undefined where it is not. */
export const nssModule = MODULES.find(existsSync)

/** A certificate database of NSS softokn in a directory of its own, with a PIN. */
export async function nssToken(): Promise<AsyncDisposable & { readonly options: TokenOptions }> {
  const module = nssModule ?? ''
  const directory = await tempDir()
  const libraryParameters = `configdir='sql:${directory.path}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= `
  await execute(process.execPath, [INIT, module, libraryParameters, PIN])
  const path = join(directory.path, 'pin')
  await writeFile(path, PIN, { mode: 0o600 })
  return {
    options: { module, token: 'NSS Certificate DB', pin: { kind: 'file', path }, libraryParameters },
    [Symbol.asyncDispose]: async () => directory[Symbol.asyncDispose](),
  }
}
