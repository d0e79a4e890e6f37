import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate with its key, both PEM. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/** A certificate authority of a test, made by openssl. */
export interface TestAuthority {
  /** its own certificate, PEM */
  readonly ca: string
  /** Signs a certificate for these names (`DNS:localhost`, `IP:127.0.0.1`), for servers and clients alike. */
  issue(names: readonly string[], options?: { readonly expired?: boolean }): KeyPair
}

export function testAuthority(name = 'Sealfleet test authority'): TestAuthority {
  return inFolder((folder) => {
    const [cert, key] = [join(folder, 'ca.pem'), join(folder, 'ca.key')]
    openssl('req', '-x509', ...NEW_KEY, '-keyout', key, '-out', cert, '-days', '2', '-subj', `/CN=${name}`)
    const own = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
    return { ca: own.cert, issue: (names, { expired = false } = {}) => issue(own, names, expired) }
  })
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

function issue(authority: KeyPair, names: readonly string[], expired: boolean): KeyPair {
  return inFolder((folder) => {
    const file = (name: string, content?: string): string => {
      const path = join(folder, name)
      if (content !== undefined) writeFileSync(path, content, { mode: 0o600 })
      return path
    }
    openssl('req', ...NEW_KEY, '-keyout', file('key'), '-out', file('request'), '-subj', '/CN=test')
    const signer = ['-CA', file('ca', authority.cert), '-CAkey', file('ca.key', authority.key), '-CAcreateserial']
    const extensions = file('extensions', `subjectAltName=${names.join(',')}\n`)
    const days = expired ? '-1' : '1'
    openssl('x509', '-req', '-in', file('request'), ...signer, '-days', days, '-extfile', extensions, '-out', file('c'))
    return { cert: readFileSync(file('c'), 'utf8'), key: readFileSync(file('key'), 'utf8') }
  })
}

function inFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'sealfleet-ca-'))
  try {
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' })
}
