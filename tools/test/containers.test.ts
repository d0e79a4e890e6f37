/**
 * docker-compose.yml and deploy/Dockerfile as far as they can be judged without a container engine: the Compose schema
 * and a linter, the Dockerfile's grammar, and that what they name (files, variables, secrets) is there.
 */
import { execFile, execFileSync } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadConfig } from '@sealfleet/config'
import { tempDir } from '@sealfleet/testkit'
import { validate } from 'dockerfile-utils'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { checkout } from '../lib/places.mjs'

interface Service {
  image: string
  command?: string | string[]
  entrypoint?: string[]
  environment?: Record<string, string>
  secrets?: string[]
  ports?: string[]
  restart?: string
  healthcheck?: { test: string[] }
  container_name?: string
  profiles?: string[]
}
interface Compose {
  services: Record<string, Service>
  secrets: Record<string, { file: string }>
}

const composeFile = join(checkout, 'docker-compose.yml')
const compose = parse(await readFile(composeFile, 'utf8'), { merge: true }) as Compose
const services = Object.entries(compose.services)
const dockerfile = await readFile(join(checkout, 'deploy', 'Dockerfile'), 'utf8')

/** What the linter finds in a Compose text: messages of errors and warnings. */
async function lint(text: string): Promise<string[]> {
  await using directory = await tempDir()
  const file = join(directory.path, 'docker-compose.yml')
  await writeFile(file, text)
  const bin = join(checkout, 'node_modules', 'dclint', 'bin', 'dclint.cjs')
  const args = [bin, '-f', 'json', '-c', join(checkout, 'deploy', 'dclint.json'), file]
  const { stdout } = await promisify(execFile)(process.execPath, args).catch((error: { stdout: string }) => error)
  const results = JSON.parse(stdout) as { messages: { message: string }[] }[]
  return results.flatMap(({ messages }) => messages.map(({ message }) => message))
}

/** The shell scripts of a service's command, as the container gets them. */
function shellScripts({ entrypoint = [], command = [] }: Service): string[] {
  const words = [...entrypoint, ...(Array.isArray(command) ? command : [command])]
  return words[0] === 'sh' ? [(words.at(-1) ?? '').replaceAll('$$', '$')] : []
}

describe('docker-compose.yml', () => {
  it('keeps to the Compose schema and the linter’s rules', async () => {
    expect(await lint(await readFile(composeFile, 'utf8'))).toEqual([])
  })

  it.each([
    ['a misspelt key', (text: string) => text.replace('healthcheck:', 'healthchek:')],
    ['a condition that does not exist', (text: string) => text.replace('service_healthy', 'service_is_healthy')],
    ['a port open to the world', (text: string) => text.replace('127.0.0.1:3900:3900', '3900:3900')],
  ])('would be refused with %s', async (_, spoil) => {
    const text = await readFile(composeFile, 'utf8')
    expect(spoil(text)).not.toBe(text)
    expect(await lint(spoil(text))).not.toEqual([])
  })

  it('pins every image, and lets no name or published port stand in the way of --scale worker=N', () => {
    for (const [name, { image }] of services)
      expect([name, image]).toEqual([name, expect.stringMatching(/:[\w.-]*\d|:local$/)])
    expect(compose.services['worker']).not.toHaveProperty('container_name')
    expect(compose.services['worker']).not.toHaveProperty('ports')
  })

  it('watches the health of everything that keeps running', () => {
    const kept = services.filter(([, { restart, profiles }]) => restart !== 'no' && !profiles)
    const names = ['gateway', 'maintenance', 'ops', 'postgres', 'redis', 's3', 'worker']
    expect(kept.map(([name]) => name).sort()).toEqual(names)
    for (const [name, { healthcheck }] of kept)
      expect([name, healthcheck?.test[0]]).toEqual([name, expect.stringMatching(/^CMD/)])
  })

  it('names programs that exist', () => {
    const words = services.flatMap(([, service]) => [service.command ?? [], service.healthcheck?.test ?? []].flat())
    const programs = [...dockerfile.split('\n'), ...words].flatMap(
      (text) => text.match(/\b(?:tools|apps|packages|bundle)\/[\w./-]+\.m?js\b/g) ?? [],
    )
    expect(programs.length).toBeGreaterThan(5)
    for (const program of programs) {
      const source = program.replace('/dist/', '/src/').replace(/(?<=src\/.*)\.js$/, '.ts')
      expect([source, existsSync(join(checkout, source))]).toEqual([source, true])
    }
  })

  it('has shell scripts that a shell can parse', () => {
    const scripts = services.flatMap(([, service]) => shellScripts(service))
    expect(scripts).toHaveLength(3)
    for (const script of scripts) execFileSync('sh', ['-n'], { input: script })
  })

  it('keeps Redis from evicting jobs and from forgetting them', () => {
    const [script = ''] = shellScripts(compose.services['redis'] as Service)
    expect(script).toContain('maxmemory-policy noeviction')
    expect(script).toContain('appendonly yes')
  })
})

describe('the secrets', () => {
  it('are made by make-secrets.sh, once, in a closed folder, and the applications’ settings are complete with them', async () => {
    await using directory = await tempDir()
    const script = join(directory.path, 'make-secrets.sh')
    await copyFile(join(checkout, 'deploy', 'make-secrets.sh'), script)
    execFileSync('sh', [script])
    const folder = join(directory.path, 'secrets')
    expect((await readdir(folder)).sort()).toEqual(Object.keys(compose.secrets).sort())
    expect((await stat(folder)).mode & 0o077).toBe(0)
    const secret = async (name: string): Promise<string> => await readFile(join(folder, name), 'utf8')
    expect(new URL(await secret('database_url')).password).toBe(await secret('postgres_password'))
    expect(new URL(await secret('redis_url')).password).toBe(await secret('redis_password'))
    expect(() => execFileSync('sh', [script], { stdio: 'pipe' })).toThrow('is there already')

    await mkdir(join(directory.path, 'inbox'))
    for (const name of ['worker', 'maintenance', 'ops']) {
      const { environment = {}, secrets = [] } = compose.services[name] ?? {}
      const inContainer = Object.entries(environment).map(([key, value]) => {
        const [, file] = /^\/run\/secrets\/(.*)$/.exec(value) ?? []
        if (file) expect(secrets).toContain(file)
        if (key === 'SEALFLEET_PKCS11_PIN_FILE') return [key, join(folder, 'redis_password')] // made in the container
        return [key, file ? join(folder, file) : value]
      })
      const needs = ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'maintenance', 'ops'] as const
      // Stands for /run/secrets, where files may be readable by others: containers mount them so.
      const mounted = [...inContainer, ['SEALFLEET_SECRET_FOLDERS', folder]]
      const config = loadConfig(Object.fromEntries(mounted) as Record<string, string>, { needs })
      expect(config.database.address).toBe('postgres:5432/sealfleet')
    }
  })

  it('never stand in the file itself', async () => {
    expect(await readFile(composeFile, 'utf8')).not.toMatch(/(PASSWORD|SECRET_ACCESS_KEY|PIN|_URL): /)
  })
})

describe('deploy/Dockerfile', () => {
  it('has no fault that the linter knows', () => {
    expect(validate(dockerfile)).toEqual([])
    expect(validate(dockerfile.replace('USER node', 'USR node'))).not.toEqual([])
  })

  it('is built in two stages from a pinned image, and runs as a user without rights', () => {
    const bases = dockerfile.match(/^FROM .*$/gm) ?? []
    expect(bases).toHaveLength(2)
    for (const base of bases) expect(base).toMatch(/^FROM node:\d+-[a-z]+-slim\b/)
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
    expect(last.match(/^USER .*$/gm)).toEqual(['USER node'])
    expect(last).not.toContain('g++')
  })
})
