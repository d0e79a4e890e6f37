import type { Command } from 'commander'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { verbPath } from '../src/help/add-examples.js'
import { EXAMPLES } from '../src/help/examples.js'
import { RENAMED } from '../src/help/renamed.js'
import { createProgram, run } from '../src/program.js'

/**
 * Each verb is named here: anyone who adds one decides whether it changes something, and, if a person decides it, gives it a
 * --reason. What changing verbs do to the database and the audit log is shown by dry-runs.test.ts and the suites of each.
 */
const READING = [
  ...['status', 'list', 'trace', 'verify', 'doctor', 'doctor hsm', 'object inspect', 'object verify'],
  ...['keys list', 'keys check', 'keys destructions', 'domains list', 'domains show', 'holds list', 'retention list'],
  ...['operators list', 'requests list', 'requests show', 'rekey status', 'doctor pin list', 'dlq ls', 'dlq show'],
  ...['queue status', 'audit verify', 'audit log', 'maintenance list', 'maintenance show', 'fleet show'],
  'tokens list',
]
/** What a person decides, and answers for. */
const DECIDED = [
  ...[
    'rm',
    'shred',
    'keys rotate',
    'keys retire',
    'keys destroy',
    'domains set',
    'operators revoke',
    'requests cancel',
  ],
  ...['holds place', 'holds release', 'rekey start', 'rekey pause', 'rekey resume', 'rekey cancel', 'rekey retry'],
  ...['doctor pin reset', 'dlq replay', 'dlq discard', 'queue pause', 'queue resume', 'queue probe', 'audit adopt'],
  ...['fleet adopt', 'tokens revoke'],
]
const CHANGING = [
  ...DECIDED,
  ...['enqueue', 'restore', 'object open', 'keys init', 'domains add', 'operators add', 'operators keygen'],
  ...['requests sign', 'requests approve', 'rewrap', 'recover', 'tokens create'],
  ...['sweep', 'reconcile', 'scrub', 'retention', 'audit-checkpoint'].map((task) => `maintenance run ${task}`),
]

const DOCS = path.resolve(import.meta.dirname, '../../../docs')

interface Tree {
  readonly program: Command
  /** verbs that do something, by the words that name them */
  readonly verbs: ReadonlyMap<string, Command>
  readonly groups: readonly Command[]
  /** the verb that the last command line came to */
  reached(): string | undefined
}

/** The command tree with nothing behind it. */
async function treeOf(): Promise<Tree> {
  let reached: string | undefined
  const io = { stdout: process.stdout, stderr: process.stderr } as never
  const program = await createProgram({ io, end: () => undefined })
  const verbs = new Map<string, Command>()
  const groups: Command[] = []
  const walk = (command: Command): void => {
    for (const one of command.commands) {
      const words = verbPath(one)
      const does = one.commands.length === 0 || words === 'doctor'
      if (does)
        verbs.set(
          words,
          one.action(() => void (reached = words)),
        )
      else groups.push(one)
      walk(one)
    }
  }
  walk(program)
  return { program, verbs, groups, reached: () => reached }
}

const { program: whole, verbs, groups } = await treeOf()

function helpOf(verb: Command): string {
  let text = ''
  verb.configureOutput({ writeOut: (part) => (text += part) }).outputHelp()
  return text
}

function longOptions(verb: Command): readonly (string | undefined)[] {
  return verb.options.map(({ long }) => long)
}

it('every verb is known here to read or to change something, and none of those is gone', () => {
  expect([...READING, ...CHANGING].sort()).toEqual([...verbs.keys()].sort())
  expect(Object.keys(EXAMPLES).sort()).toEqual([...verbs.keys()].sort())
})

describe.each([...verbs])('%s', (words, verb) => {
  it('explains itself, says what each argument and option is, and gives an example', () => {
    expect(verb.description().length).toBeGreaterThan(20)
    for (const { description, flags } of verb.options) expect(description, flags).not.toBe('')
    for (const argument of verb.registeredArguments) expect(argument.description, argument.name()).not.toBe('')
    const [, examples = ''] = helpOf(verb).split('\nExamples:\n')
    expect(examples).toMatch(new RegExp(`^  sealfleet ${words.replace(' start', '( start)?')}( |$)`, 'm'))
  })

  it('knows --json and --config, and --dry-run when it changes something', () => {
    expect(longOptions(verb)).toEqual(expect.arrayContaining(['--json', '--config']))
    expect(longOptions(verb).includes('--dry-run')).toBe(CHANGING.includes(words))
  })

  it('takes a reason when it is a decision', () => {
    expect(longOptions(verb).includes('--reason')).toBe(DECIDED.includes(words))
  })
})

it('help of the program is the same whether all commands are loaded or none', async () => {
  const io = { stdout: process.stdout, stderr: process.stderr } as never
  const none = await createProgram({ io, end: () => undefined }, { chosen: '' })
  expect(none.commands.every((command) => command.options.length === 0)).toBe(true)
  expect(helpOf(none)).toBe(helpOf(whole))
})

it('a chosen command is whole, and the others are known by name', async () => {
  const io = { stdout: process.stdout, stderr: process.stderr } as never
  const one = await createProgram({ io, end: () => undefined }, { chosen: 'keys' })
  const loaded = one.commands.filter((command) => command.commands.length > 0 || command.options.length > 0)
  expect(loaded.map((command) => command.name())).toEqual(['keys'])
  expect(one.commands.map((command) => command.name())).toEqual(whole.commands.map((command) => command.name()))
})

it('groups explain themselves, and the whole is ordered by headings', async () => {
  for (const group of groups) expect(group.description().length, verbPath(group)).toBeGreaterThan(15)
  const help = helpOf((await treeOf()).program)
  const headings = [...help.matchAll(/^([A-Z][\w ]+):$/gm)].map(([, heading]) => heading)
  expect(headings).toEqual([
    ...['Options', 'Files', 'Keeping and deleting', 'Master keys', 'People and programs', 'Proof', 'Running the fleet'],
    ...['When all else is lost', 'Help'],
  ])
})

describe.each(Object.entries(RENAMED))('the old name `%s`', (old, now) => {
  it('is answered with the new one in one line, status 2, whatever follows it', async () => {
    for (const more of [[], ['--help'], ['--dry-run', '--nonesuch']]) {
      const [stdout, stderr] = [new PassThrough(), new PassThrough()]
      const status = await run([...old.split(' '), ...more], { stdout, stderr, env: {} } as never)
      stdout.end()
      stderr.end()
      expect([status, (await stdout.toArray()).join(''), (await stderr.toArray()).join('')]).toEqual([
        2,
        '',
        `sealfleet: USAGE: \`sealfleet ${old}\` is now \`sealfleet ${now}\`\n`,
      ])
    }
  })

  it('is no verb any more, and the new one is a verb or a group of verbs', () => {
    expect([...verbs.keys()]).not.toContain(old)
    const found = [...verbs.keys(), ...groups.map(verbPath)].filter((words) => `${now} `.startsWith(`${words} `))
    // `maintenance show scrub`: the last word is an argument.
    expect(found.some((words) => words.split(' ').length >= 2)).toBe(true)
  })
})

it('the reference of JSON has every command', async () => {
  const headings = [...(await readFile(path.join(DOCS, 'reference/json.md'), 'utf8')).matchAll(/^### (.+)$/gm)]
  expect(headings.map(([, words = '']) => words).filter((words) => words !== 'enqueue -')).toEqual(
    [...verbs.keys()].sort(),
  )
})

/** A command line as a shell would split it; what is redirected is not ours. */
function wordsOf(line: string): readonly string[] {
  const [command = ''] = line.split(/ [>|#] ?| {2}# /)
  return [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '')
}

/** Resolves to the verb that a command line comes to; throws commander's error for one that would be refused. */
async function parsed(line: string): Promise<string | undefined> {
  const tree = await treeOf()
  const [, ...args] = wordsOf(line)
  await tree.program.parseAsync([...args], { from: 'user' })
  return tree.reached()
}

it.each(Object.entries(EXAMPLES).flatMap(([verb, lines]) => lines.map((line) => [line, verb])))(
  'the example `%s` is one that the parser takes',
  async (line, verb) => {
    expect(await parsed(line)).toBe(verb)
  },
)

/** What stands for something in the documents, and one of what it stands for. */
const STANDS_FOR: Readonly<Record<string, string>> = {
  ID: '5a403bca-f287-4a5c-8c12-d8572624f767',
  SERIAL: 'aa969301d7eed31a',
  TASK: 'sweep',
  VERSION: '2',
  N: '2',
  SECONDS: '60',
  DAYS: '30',
  FILES_PER_SECOND: '5',
  ROLE: 'enc',
  'NO:SHA256': `1:${'a'.repeat(64)}`,
}

/** Every whole command line in a document; `…` leaves out what stood above. */
async function commandsIn(document: string): Promise<readonly string[]> {
  const text = await readFile(path.resolve(import.meta.dirname, '../../..', document), 'utf8')
  const inline = [...text.matchAll(/`((?:npx )?sealfleet [^`]+)`/g)].map(([, line = '']) => line)
  const blocks = [...text.matchAll(/^ *(npx sealfleet .+)$/gm)].map(([, line = '']) => line)
  const lines = [...inline, ...blocks].map((line) =>
    line
      .replace(/^npx /, '')
      .replace(/\s+/g, (blank) => (blank.length > 1 && !blank.includes('\n') ? ' # ' : ' '))
      .replace(/\s*\[([^\]]*)\]/g, ' $1')
      .replace(/\b([a-z]+)\|[a-z|]+/g, '$1')
      .replace(/(?<![\w-])[A-Z][A-Z_:0-9]*…?(?![\w-])/g, (name) => STANDS_FOR[name.replace('…', '')] ?? name),
  )
  // A verb that is merely named is no command line.
  return [...new Set(lines)].filter(
    (line) => !/…|sealfleet VERB/.test(line) && !verbs.has(line.replace('sealfleet ', '')),
  )
}

/** Options of `npm run …`, of node and of every verb. */
const OTHER_PROGRAMS = [
  '--help',
  '--version',
  '--env',
  '--latency',
  '--liftoff-only',
  '--optimize-for-size',
  '--size',
  '--files',
  '--seconds',
  '--status',
]

/** Whether these words begin with a group of verbs, or name nothing but the program. */
function isGroup(words: string): boolean {
  return groups.some((group) => `${words} `.startsWith(`${verbPath(group)} `)) || /^(…|-|VERB|$)/.test(words)
}

/** Not the pages without commands: vectors, tables of JSON. */
const DOCUMENTS = [
  ...['README.md', 'CONTRIBUTING.md', 'packages/queue/README.md', 'apps/cli/README.md'],
  ...['.', 'operate', 'design', 'reference'].flatMap((folder) =>
    readdirSync(path.join(DOCS, folder))
      .filter((name) => name.endsWith('.md') && name !== 'json.md' && name !== 'format.md')
      .map((name) => path.join('docs', folder, name)),
  ),
]

it.each(DOCUMENTS)('every command line in %s is one that the parser takes', async (document) => {
  const refused: string[] = []
  for (const line of await commandsIn(document)) {
    try {
      if ((await parsed(line)) === undefined) refused.push(`${line}: comes to no verb`)
    } catch (error) {
      refused.push(`${line}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  expect(refused).toEqual([])
})

/** What documents name of the command line without a whole command line: a verb and options, with `…` or beside it. */
it.each(DOCUMENTS)('every verb and option that %s names is there', async (document) => {
  const text = await readFile(path.resolve(import.meta.dirname, '../../..', document), 'utf8')
  const named = [...text.matchAll(/`(?:(?:npx )?sealfleet )?([a-z]+(?: [a-z]+)*)( [^`]*)?`|^ *npx sealfleet (.+)$/gm)]
  const all = new Set([...verbs.values()].flatMap(longOptions))
  const unknown = named.flatMap(([whole, words = '', rest = '', line = '']) => {
    const [written = ''] = `${words}${rest}${line}`.split(' # ')
    const command = written.replace(/^(npx )?sealfleet /, '').replace(/^rekey(?= --|$)/, 'rekey start')
    const verb = [...verbs.keys()]
      .filter((one) => `${command} `.startsWith(`${one} `))
      .sort((a, b) => b.length - a.length)[0]
    const isOurs = line !== '' || /^`(npx )?sealfleet /.test(whole)
    if (verb === undefined) return isOurs && !isGroup(command) ? [`${whole}: no such verb`] : []
    const options = longOptions(verbs.get(verb) as Command)
    const given = [...command.matchAll(/(?<![\w-])--[a-z][\w-]*/g)].map(([option]) => option)
    return given.filter((option) => !options.includes(option)).map((option) => `${whole}: ${verb} has no ${option}`)
  })
  // An option by itself is one of some verb, or of another program's that the text names.
  const alone = [...text.matchAll(/`(--[a-z][\w-]*)[^`]*`/g)].map(([, option = '']) => option)
  const others = alone.filter((option) => !all.has(option) && !OTHER_PROGRAMS.includes(option))
  expect([...unknown, ...others]).toEqual([])
})
