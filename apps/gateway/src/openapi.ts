import { COMPONENTS, ref, type Schema } from './schemas.js'
import type { Route } from './route.js'

const PROBLEM = { content: { 'application/problem+json': { schema: ref('Problem') } } }

/** Problems of every operation, whatever else it answers. */
const PROBLEMS = {
  400: 'the request cannot be read, or breaks the contract',
  401: 'no valid token',
  403: 'a scope is missing',
  404: 'not there, or not the token’s',
  429: 'requests or bytes are used up',
  500: 'the gateway failed, or what is stored is damaged',
  503: 'a dependency is out of reach, or the gateway is stopping',
}

/** The OpenAPI 3.1 document of the routes: what is enforced and what is said come from one place. */
export function openApi(routes: readonly Route[]) {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route)
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Sealfleet',
      version: '1',
      description: 'Hand files over, follow them, read them back. Errors are application/problem+json (RFC 9457).',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ token: [] }],
    paths,
    components: {
      schemas: COMPONENTS,
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: '`sealfleet tokens create`' } },
    },
  }
}

function operation(route: Route) {
  const { operation: operationId, summary, scope, query = {}, headers = {}, required = [], body } = route
  const parameters = [
    ...[...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) =>
      parameter('path', name ?? '', { type: 'string', minLength: 1, maxLength: 1_024 }, true),
    ),
    ...Object.entries(query).map(([name, schema]) => parameter('query', name, schema, required.includes(name))),
    ...Object.entries(headers).map(([name, schema]) => parameter('header', name, schema, false)),
  ]
  return {
    operationId,
    summary,
    description: `Scope: \`${scope}\`.`,
    'x-scope': scope,
    parameters,
    ...(body !== undefined && { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: { ...answers(route), ...problems(route) },
  }
}

function parameter(where: string, name: string, schema: Schema, required: boolean) {
  return { name, in: where, required, schema }
}

function answers({ answers: known }: Route) {
  return Object.fromEntries(
    Object.entries(known).map(([status, schema]) => {
      if (schema === null) return [status, { description: 'no body' }]
      if (typeof schema === 'string') return [status, { description: 'bytes', content: { [schema]: {} } }]
      return [status, { description: 'done', content: { 'application/json': { schema } } }]
    }),
  )
}

function problems({ method, body, path }: Route) {
  const more = {
    ...(path.startsWith('/v1/files/{') || method === 'POST' ? { 409: 'its state does not allow this' } : {}),
    ...(path.startsWith('/v1/files/{') ? { 410: 'deleted, or its key was destroyed' } : {}),
    ...(body === undefined ? {} : { 413: 'the body is too large', 415: 'the body is not JSON' }),
    ...(path.endsWith('/content') ? { 416: 'the range begins after the end' } : {}),
  }
  // An answer to HEAD has no body.
  return Object.fromEntries(
    Object.entries({ ...PROBLEMS, ...more }).map(([status, description]) => [
      status,
      { description, ...(method === 'HEAD' ? {} : PROBLEM) },
    ]),
  )
}
