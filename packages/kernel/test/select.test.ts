import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { forgetKernel, kernel, selectKernel } from '../src/select.js'
import { addon } from './samples.js'

const folder = mkdtempSync(join(tmpdir(), 'sealfleet-kernel-'))
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => forgetKernel())

function fake(name: string, source: string): string {
  const path = join(folder, `${name}.cjs`)
  writeFileSync(path, source)
  return path
}

const ADDONS = {
  'is not there': join(folder, 'missing.node'),
  'is no library': (() => {
    const path = join(folder, 'text.node')
    writeFileSync(path, 'not a library')
    return path
  })(),
  'has another interface': fake('other', 'module.exports = { abi: 99, lanes: true, run() {}, runSync() {} }'),
  'has none': fake('none', 'module.exports = null'),
  'throws at load': fake('throws', 'throw new Error("undefined symbol: EVP_CIPHER_fetch")'),
  'computes other tags': fake('wrong', 'module.exports = { abi: 1, lanes: false, run() {}, runSync: () => 0 }'),
  'changes nothing': fake('idle', 'module.exports = { abi: 1, lanes: false, run() {}, runSync: () => 3 }'),
}

describe('an addon that', () => {
  it.each(Object.entries(ADDONS))('%s: one warning with what to do, and the TypeScript path', (_, addonPath) => {
    const warnings: string[] = []
    const onWarning = (warning: string) => void warnings.push(warning)
    for (const choice of ['auto', 'lanes', 'evp', 'auto'] as const) {
      selectKernel(choice, { addonPath, onWarning })
      expect(kernel()).toBeUndefined()
      expect(kernel()).toBeUndefined()
    }
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^the native kernel cannot be used \(.+\).*npm run build.*SEALFLEET_KERNEL=typescript$/)
    expect(warnings[0]).not.toContain('\n')
  })
})

describe('a choice', () => {
  it('is the fastest path unless another is named', () => {
    expect(kernel()?.path).toBe(addon.lanes ? 'lanes' : 'evp')
    selectKernel('evp')
    expect(kernel()?.path).toBe('evp')
    selectKernel('typescript', { addonPath: ADDONS['throws at load'], onWarning: expect.unreachable })
    expect(kernel()).toBeUndefined()
  })

  it('loads nothing before the first use', () => {
    selectKernel('auto', { addonPath: ADDONS['throws at load'], onWarning: expect.unreachable })
  })

  it('of lanes that the processor does not have: one warning, and one lane', () => {
    const real = JSON.stringify(join(import.meta.dirname, '../build/Release/kernel.node'))
    const addonPath = fake('no-lanes', `module.exports = { ...require(${real}), lanes: false }`)
    const warnings: string[] = []
    selectKernel('lanes', { addonPath, onWarning: (warning) => void warnings.push(warning) })
    expect(kernel()?.path).toBe('evp')
    expect(warnings).toEqual([expect.stringContaining('no SHA extensions')])
  })
})
