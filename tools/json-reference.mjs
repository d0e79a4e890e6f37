/**
 * Prints docs/reference/json.md: the JSON of every command, from the types of what the command line prints. With --check
 * it compares the file with that instead, as `npm run lint` does, and exits with 1 when they differ.
 */
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'

import ts from 'typescript'

import { checkout } from './lib/places.mjs'
import { runMain } from './lib/say.mjs'

const CLI = path.join(checkout, 'apps/cli')
const DOCUMENT = path.join(checkout, 'docs/reference/json.md')
const WIDTH = 100

/** The command that prints in a function of a file below `src/commands`; several where both use it. */
const COMMANDS = JSON.parse(readFileSync(path.join(checkout, 'tools/json-reference.json'), 'utf8'))

/** Rows of the records, by the name of their type, that several commands show: described once. */
const SHAPES = new Map(
  Object.entries({
    DeadLetterRow: 'DeadLetter',
    HoldRow: 'Hold',
    TokenRow: 'Token',
    OperatorRow: 'Operator',
    RunReport: 'RekeyRun',
    RequestRow: 'Request',
    SignatureRow: 'Signature',
    KeyAge: 'KeyAge',
    BatchProgress: 'BatchProgress',
    TaskReport: 'Task',
    CheckpointHead: 'Checkpoint',
    ScrubRow: 'ScrubPass',
    ErrorReport: 'ErrorReport',
    DestructionNeeds: 'Needs',
    FileRow: 'File',
    AttemptRow: 'Attempt',
    SweepFinding: 'SweepFinding',
  }),
)

/** The same for shapes without a type of that name: the fields by which one is known. */
const BY_FIELDS = [
  { name: 'Request', fields: ['intact', 'consumedBy', 'missing'], without: 'signedSha256' },
  { name: 'RekeyRun', fields: ['filesPerSecond', 'doneBytes', 'failed'], without: 'created' },
  { name: 'Needs', fields: ['database', 'store', 'holds', 'lost'], without: 'request' },
  { name: 'Failure', fields: ['attemptNo', 'disposition', 'message'], without: 'state' },
  { name: 'AuditRow', fields: ['actor', 'action', 'subjectKind', 'detail'], without: 'state' },
]

/** Words that several commands show. */
const WORDS = new Map([
  ["'DEAD' | 'DELETED' | 'DISCARDED' | 'QUEUED' | 'RUNNING' | 'STORED'", 'FileState'],
  ["'ACTIVE' | 'DECRYPT_ONLY' | 'DESTROYED' | 'DESTROY_SCHEDULED' | 'PENDING'", 'KeyState'],
  ["'destroyed' | 'mismatch' | 'missing' | 'nothing to compare' | 'ok' | 'twice' | 'wrong answer'", 'Comparison'],
])

class Printer {
  /** @type {Map<string, string>} name of a shape → its text */
  shapes = new Map()
  /** @param {ts.TypeChecker} checker */
  constructor(checker) {
    this.checker = checker
  }

  /** @param {ts.Type} type @param {ts.Node} node @param {number} depth levels that are still shown @returns {string} */
  text(type, node, depth) {
    const { checker } = this
    if (type.isUnion()) return this.#union(type, node, depth)
    const name = checker.typeToString(type, node)
    if (/^Date\b/.test(name)) return 'time'
    if (/^(Buffer|Uint8Array)\b/.test(name)) return 'hex'
    if (/^(unknown|any|Json\w*|Canonical\w*)$/.test(name)) return 'any'
    if (name === 'bigint') return 'integer'
    if (type.flags & ts.TypeFlags.BooleanLiteral) return 'boolean'
    if (checker.isArrayType(type)) {
      const [item] = checker.getTypeArguments(/** @type {ts.TypeReference} */ (type))
      return item === undefined || depth === 0
        ? 'any[]'
        : list(this.text(item, node, item.isUnion() || checker.isArrayType(item) ? depth - 1 : depth))
    }
    const map = /^(?:Readonly)?Map<string, /.test(name)
    const values = map
      ? checker.getTypeArguments(/** @type {ts.TypeReference} */ (type))[1]
      : checker.getPropertiesOfType(type).length === 0 && type.getStringIndexType()
    if (values) return `{ [name]: ${depth === 0 ? 'any' : this.text(values, node, depth - 1)} }`
    if (!(type.flags & ts.TypeFlags.Object || type.isIntersection())) return name.replaceAll('"', "'")
    const shape = this.#shapeOf(type)
    if (shape !== undefined) {
      if (!this.shapes.has(shape)) {
        this.shapes.set(shape, '')
        this.shapes.set(shape, this.#object(type, node, 6))
      }
      return shape
    }
    return depth === 0 ? 'object' : this.#object(type, node, depth)
  }

  /** @param {ts.Type} type */
  #shapeOf(type) {
    const known = SHAPES.get(type.aliasSymbol?.name ?? type.symbol?.name ?? '')
    if (known !== undefined) return known
    const has = (/** @type {string} */ name) => this.checker.getPropertyOfType(type, name) !== undefined
    return BY_FIELDS.find(({ fields, without }) => fields.every(has) && !has(without))?.name
  }

  /** @param {ts.Type} type @param {ts.Node} node @param {number} depth @returns {string} */
  #object(type, node, depth) {
    // By name: the order of mapped types (Record, Pick, Omit) changes with the rest of the program.
    const properties = [...this.checker.getPropertiesOfType(type)].sort((a, b) => (a.name < b.name ? -1 : 1))
    const fields = properties.flatMap((property) => {
      const of = this.checker.getTypeOfSymbolAtLocation(property, node)
      const text = this.text(of, node, depth - 1)
      if (/^(never|undefined)(\[\])?$/.test(text)) return []
      return `${property.name}${property.flags & ts.SymbolFlags.Optional ? '?' : ''}: ${text}`
    })
    return block(fields)
  }

  /** @param {ts.UnionType} type @param {ts.Node} node @param {number} depth @returns {string} */
  #union(type, node, depth) {
    const texts = [...new Set(type.types.map((one) => this.text(one, node, depth)))].filter(
      (text) => text !== 'undefined' && text !== 'never',
    )
    // The order of a union's members is the checker's own.
    const rank = (/** @type {string} */ text) => (text === 'null' ? 2 : /^['\d]/.test(text) ? 0 : 1)
    texts.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
    const literals = texts.filter((text) => text.startsWith("'"))
    const word = WORDS.get(literals.join(' | '))
    if (word !== undefined) {
      this.shapes.set(word, literals.join(' | '))
      texts.splice(0, literals.length, word)
    }
    const whole = texts.join(' | ')
    return whole.length > WIDTH && texts.every((text) => !text.includes('\n')) ? `${texts.join('\n  | ')}` : whole
  }
}

/** @param {string} item */
function list(item) {
  const isUnion = item.replace(/\{[^{}]*(\{[^{}]*\}[^{}]*)*\}/g, '').includes(' | ')
  return isUnion ? `(${item})[]` : `${item}[]`
}

/** One line where it fits, else a field a line. @param {readonly string[]} fields */
function block(fields) {
  const line = `{ ${fields.join(', ')} }`
  if (line.length <= WIDTH && !line.includes('\n')) return fields.length === 0 ? '{}' : line
  return `{\n${fields.map((field) => indented(field)).join('\n')}\n}`
}

/** @param {string} text */
function indented(text) {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}

/** @param {ts.Node} node the name of the function around it */
function functionAround(node) {
  for (let at = node.parent; at !== undefined; at = at.parent)
    if ((ts.isFunctionDeclaration(at) || ts.isMethodDeclaration(at)) && at.name) return at.name.getText()
  return ''
}

function reference() {
  const config = ts.getParsedCommandLineOfConfigFile(
    path.join(CLI, 'tsconfig.json'),
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
        throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'))
      },
    },
  )
  if (config === undefined) throw new Error('apps/cli/tsconfig.json cannot be read')
  const { fileNames, options, projectReferences = [] } = config
  const program = ts.createProgram({ rootNames: fileNames, options, projectReferences })
  const checker = program.getTypeChecker()
  const printer = new Printer(checker)
  /** @type {Map<string, string[]>} */
  const found = new Map()
  /** @type {Set<string>} */
  const missing = new Set()
  const used = new Set()
  /** @param {ts.SourceFile} file @param {ts.Node} node */
  const visit = (file, node) => {
    ts.forEachChild(node, (child) => visit(file, child))
    if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return
    const { text: method } = node.expression.name
    const [argument] = node.arguments
    if ((method !== 'document' && method !== 'line') || argument === undefined) return
    if (!/(^|\.)print$/.test(node.expression.expression.getText())) return
    const name = path.relative(path.join(CLI, 'src/commands'), file.fileName).replace(/\.ts$/, '')
    const key = `${name}#${functionAround(node)}`
    used.add(key)
    const commands = COMMANDS[key]
    if (commands === undefined) return void missing.add(key)
    const text = printer.text(checker.getTypeAtLocation(argument), node, 5)
    for (const command of commands) {
      const texts = found.get(command) ?? []
      const shown = `${method === 'line' ? 'line: ' : ''}${text}`
      if (!texts.includes(shown)) texts.push(shown)
      found.set(command, texts)
    }
  }
  for (const file of program.getSourceFiles())
    if (file.fileName.startsWith(path.join(CLI, 'src/commands'))) visit(file, file)
  const stale = Object.keys(COMMANDS).filter((key) => !used.has(key))
  if (missing.size + stale.length > 0)
    throw new Error(`tools/json-reference.json: without a command ${[...missing].join(', ')}; gone ${stale.join(', ')}`)
  const commands = [...found].sort(([a], [b]) => (a < b ? -1 : 1))
  const shapes = [...printer.shapes].sort(([a], [b]) => (a < b ? -1 : 1))
  return [
    HEAD,
    '## Shapes\n',
    ...shapes.map(([name, text]) => `\`\`\`\n${name} = ${text}\n\`\`\`\n`),
    '## Commands\n',
    ...commands.map(
      ([command, texts]) =>
        `### ${command}\n\n\`\`\`\n${texts.join('\n')}\n\`\`\`\n${NOTES.has(command) ? `\n${NOTES.get(command)}\n` : ''}`,
    ),
  ].join('\n')
}

/** What the types do not say. */
const NOTES = new Map([
  [
    'doctor hsm',
    'Beside these, where the token could be asked: `token` (its report), `pin` (the lockout, or null), `pool`.',
  ],
])

const HEAD = `# JSON of the commands

Made by \`node tools/json-reference.mjs\` from the types of what is printed; \`npm run lint\` compares.

With \`--json\` standard output holds one document; where a line begins with \`line:\` it holds a line of JSON for each such
value, for commands that run for long. When standard output carries a file's bytes, all of it goes to standard error. An
error is \`{ error: { code, message, fix? } }\`, with a code of [failure-codes.md](failure-codes.md) or one of
[the command line's own](exit-statuses.md).

Types: \`time\` is a string in ISO 8601, UTC; \`hex\` bytes as a string of hexadecimal digits; \`name?\` a field that may be
left out; \`any\` JSON of no fixed shape. Integers beyond 2^53 are strings. Several values under one command: one of them,
by the options (\`--dry-run\`, \`--wait\`, one file or many).

Fields are added without notice; a field that goes, or means something else, stands in
[CHANGELOG.md](../../CHANGELOG.md).
`

await runMain(async () => {
  const text = reference()
  if (!process.argv.includes('--check')) {
    await writeFile(DOCUMENT, text)
    return 0
  }
  if ((await readFile(DOCUMENT, 'utf8')) === text) return 0
  console.error('docs/reference/json.md is not what the commands print: run node tools/json-reference.mjs')
  return 1
})
