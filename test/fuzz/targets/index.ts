// Every surface that reads what a stranger wrote.

import type { Target } from '../target.ts'
import { api } from './api.ts'
import { assertions } from './assertions.ts'
import { auditExport } from './audit-export.ts'
import { definitions } from './definitions.ts'
import { forms } from './forms.ts'
import { forwardAuth } from './forward-auth.ts'
import { guardFeed } from './guard-feed.ts'
import { guardTokens } from './guard-tokens.ts'
import { manifests } from './manifests.ts'
import { mcp } from './mcp.ts'
import { proxy } from './proxy.ts'
import { recipes } from './recipes.ts'
import { tokens } from './tokens.ts'

export const TARGETS: readonly Target[] = [
  manifests,
  recipes,
  definitions,
  assertions,
  tokens,
  forms,
  forwardAuth,
  proxy,
  mcp,
  api,
  auditExport,
  guardTokens,
  guardFeed,
]
