import { ConfigError } from '@sealfleet/config'
import { batchIdFor } from '@sealfleet/queue'
import { tempDir } from '@sealfleet/testkit'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { usageError } from '../src/cli-error.js'
import { parseS3Address } from '../src/commands/object/source.js'
import { describeError } from '../src/describe-error.js'
import { doctorStatus, failed, ok } from '../src/commands/doctor/check.js'
import { planFile } from '../src/commands/enqueue/requests.js'
import { combineStatuses, EXIT } from '../src/exit-status.js'
import { readContext } from '../src/files/context.js'
import { parseRange, resolveRange } from '../src/files/range.js'
import { planRestore } from '../src/commands/restore/plan.js'
import { forEachConcurrent } from '@sealfleet/runtime'
import { errorText } from '../src/verb.js'

describe('--range', () => {
  it.each([
    ['0-0', 10, 0, 1],
    ['2-5', 10, 2, 6],
    ['2-', 10, 2, 10],
    ['2-99', 10, 2, 10],
    ['-3', 10, 7, 10],
    ['-30', 10, 0, 10],
    ['-3', 0, 0, 0],
  ])('%s of %i bytes is [%i, %i)', (text, length, start, end) => {
    expect(resolveRange(parseRange(text), length)).toEqual({ start, end })
  })

  it.each(['', '-', '5', '5-2', 'a-b', '1-2-3', '0x1-2', '1 - 2', '9999999999999999-'])('refuses %j', (text) => {
    expect(() => parseRange(text)).toThrow(expect.objectContaining({ code: 'USAGE', exitStatus: EXIT.usage }) as Error)
  })

  it('refuses a beginning at or beyond the end', () => {
    for (const length of [0, 10]) {
      expect(() => resolveRange(parseRange('10-12'), length)).toThrow(/begins at byte 10/)
    }
  })
})

describe('--context', () => {
  it('reads text, hexadecimal and files, and nothing when none is given', async () => {
    await using dir = await tempDir()
    await writeFile(path.join(dir.path, 'ctx'), Buffer.from([0, 255]))
    expect(await readContext({}, dir.path)).toBeUndefined()
    expect(await readContext({ context: '' }, dir.path)).toEqual(Buffer.alloc(0))
    expect(await readContext({ context: 'ü' }, dir.path)).toEqual(Buffer.from('c3bc', 'hex'))
    expect(await readContext({ contextHex: '00fF' }, dir.path)).toEqual(Buffer.from([0, 255]))
    expect(await readContext({ contextFile: 'ctx' }, dir.path)).toEqual(Buffer.from([0, 255]))
  })

  it.each([
    [{ contextHex: '0' }],
    [{ contextHex: 'zz' }],
    [{ context: 'a', contextHex: '00' }],
    [{ context: 'x'.repeat(1025) }],
  ])('refuses %j', async (options) => {
    await expect(readContext(options, '/')).rejects.toMatchObject({ code: 'USAGE', exitStatus: EXIT.usage })
  })
})

describe('ids of enqueued files', () => {
  const file = { root: 'r', path: 'a/b', shown: 'b', size: 5, mtimeNs: 7n }
  const plain = { domain: 'default', context: undefined, id: undefined }
  const id = planFile(file, plain).fileId

  it('are the same for the same file, and differ by everything that makes it another', () => {
    expect(planFile({ ...file, shown: './b' }, plain).fileId).toBe(id)
    const others = [
      planFile({ ...file, size: 6 }, plain),
      planFile({ ...file, mtimeNs: 8n }, plain),
      planFile({ ...file, root: 'r2' }, plain),
      planFile({ ...file, path: 'a/c' }, plain),
      planFile(file, { ...plain, context: Buffer.from('x') }),
      planFile(file, { ...plain, domain: 'b549fcf8-ceda-48e7-956d-e8cd3f2dda24' }),
    ].map(({ fileId }) => fileId)
    expect(new Set([id, ...others]).size).toBe(others.length + 1)
  })

  it('are the given ones when given: a UUID itself, any text by its UUIDv5', () => {
    const given = (text: string): string => planFile(file, { ...plain, id: text }).fileId
    expect(given('B549FCF8-ceda-48e7-956d-e8cd3f2dda24')).toBe('b549fcf8-ceda-48e7-956d-e8cd3f2dda24')
    expect(given('invoice 17')).toBe(given('invoice 17'))
    expect(given('invoice 17')).not.toBe(id)
  })

  it('map a batch name to one id', () => {
    expect(batchIdFor('nightly')).toBe(batchIdFor('nightly'))
    expect(batchIdFor('B549FCF8-ceda-48e7-956d-e8cd3f2dda24')).toBe('b549fcf8-ceda-48e7-956d-e8cd3f2dda24')
  })
})

describe('planning a restore of many', () => {
  it('takes the newest file of each source path and leaves the older ones', () => {
    const file = (fileId: string, path: string, root = 'r') => ({ fileId, path, root, size: 1, objectLength: 449 })
    const plan = planRestore([file('3', 'a'), file('2', 'b'), file('1', 'a'), file('0', 'a', 'other')])
    expect(plan.files.map(({ fileId }) => fileId)).toEqual(['0', '2', '3'])
    expect(plan.older.map(({ fileId }) => fileId)).toEqual(['1'])
  })
})

describe('s3:// addresses', () => {
  it('take the key as it stands', () => {
    expect(parseS3Address('s3://b-1/default/a%20b?c#d')).toEqual({ bucket: 'b-1', key: 'default/a%20b?c#d' })
    expect(parseS3Address('/tmp/x')).toBeUndefined()
  })
  it.each(['s3://', 's3://bucket', 's3://bucket/', 's3:///key'])('refuse %s', (text) => {
    expect(() => parseS3Address(text)).toThrow(/not s3:\/\/bucket\/key/)
  })
})

describe('exit statuses', () => {
  it('stand for several failures together', () => {
    expect(combineStatuses([])).toBe(EXIT.done)
    expect(combineStatuses([0, 3, 3])).toBe(EXIT.integrity)
    expect(combineStatuses([3, 4])).toBe(EXIT.failed)
  })

  it('are 6 for a doctor who finds any dependency out of reach', () => {
    const unreachable = failed('redis', Object.assign(new Error('x'), { code: 'REDIS_UNAVAILABLE' }))
    const integrity = failed('books', new Error('x'))
    expect(doctorStatus([ok('a', 'b')])).toBe(EXIT.done)
    expect(doctorStatus([integrity])).toBe(EXIT.failed)
    expect(doctorStatus([integrity, unreachable])).toBe(EXIT.unreachable)
    expect(unreachable.fix).not.toMatch(/doctor/)
  })

  it.each([
    ['E_SEGMENT_AUTH', 3],
    ['E_KEY_UNKNOWN', 5],
    ['E_KEY_DESTROYED', 5],
    ['S3_NO_SUCH_OBJECT', 4],
    ['DB_UNAVAILABLE', 6],
    ['HSM_UNAVAILABLE', 6],
    ['SOURCE_MISSING', 4],
    ['SOURCE_NOT_REGULAR', 1],
  ])('%s ends with %i and says what to do', (code, exitStatus) => {
    const report = describeError(Object.assign(new Error('what happened'), { code }))
    expect(report).toMatchObject({ code, exitStatus, message: 'what happened' })
    expect(report.fix).toBeTruthy()
  })

  it('come from the failure, not from what closing did afterwards', () => {
    const failure = Object.assign(new Error('damaged'), { code: 'E_FORMAT' })
    const both = Object.assign(new Error('closing'), {
      name: 'SuppressedError',
      error: new Error('close'),
      suppressed: failure,
    })
    expect(describeError(both)).toMatchObject({ code: 'E_FORMAT', exitStatus: 3 })
  })

  it('stay one line, whatever a name in them holds; what is on more lines was said to be', () => {
    const forged = describeError(usageError('no file a\nsealfleet: DONE: all is stored'))
    expect(forged.message).toBe('no file a\\nsealfleet: DONE: all is stored')
    const problems = ['A\u2028', 'B'].map((variable) => ({ variable, fault: 'is\nwrong' }))
    expect(errorText(describeError(new ConfigError(problems)))).toMatch(
      /^sealfleet: CONFIG_INVALID: The configuration has 2 problems:\n {2}- A\\u\{2028\} is\\nwrong\.\n {2}- B is\\nwrong\.\n {2}fix: .*\n$/,
    )
  })

  it('never show a control character of someone else', () => {
    expect(describeError(new Error('\u001b[31m')).message).toBe('Error: \\u{1B}[31m')
  })
})

describe('work side by side', () => {
  it('never runs more than its width, and does everything', async () => {
    let running = 0
    let most = 0
    const done: number[] = []
    await forEachConcurrent([1, 2, 3, 4, 5, 6, 7], 3, async (n) => {
      most = Math.max(most, (running += 1))
      await new Promise(setImmediate)
      running -= 1
      done.push(n)
      return true
    })
    expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(most).toBe(3)
  })

  it('begins nothing new after a false or a throw, and throws what was thrown', async () => {
    const begun: number[] = []
    await forEachConcurrent([1, 2, 3], 1, (n) => {
      begun.push(n)
      return Promise.resolve(n < 2)
    })
    expect(begun).toEqual([1, 2])
    await expect(forEachConcurrent([1, 2], 1, () => Promise.reject(new Error('stop')))).rejects.toThrow('stop')
  })
})
