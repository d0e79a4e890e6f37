import type { LogLevel } from '@sealfleet/telemetry'
import { z } from 'zod'
import { defineConcern } from '../concern.js'
import { withDefault } from '../variable.js'

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const satisfies readonly LogLevel[]

export interface LogConfig {
  readonly level: LogLevel
}

const variables = {
  level: withDefault('info', {
    name: 'SEALFLEET_LOG_LEVEL',
    description: 'least level that is logged',
    expects: `one of ${LOG_LEVELS.join(', ')}`,
    example: 'info',
    schema: z.enum(LOG_LEVELS, { error: 'is not a log level' }),
  }),
}

export const log = defineConcern({ variables, build: (values): LogConfig => values })
