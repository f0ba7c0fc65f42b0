// Every route of the API, in one list.

import type { Route } from './route.ts'
import { agentRoutes } from './routes-agents.ts'
import { auditRoutes } from './routes-audit.ts'
import { holdingRoutes } from './routes-holdings.ts'
import { houseRoutes } from './routes-house.ts'
import { inspectRoutes } from './routes-inspect.ts'
import { lockRoutes } from './routes-locks.ts'
import { requestRoutes } from './routes-requests.ts'
import { revisionRoutes } from './routes-revisions.ts'
import { toolRoutes } from './routes-tools.ts'

export const ROUTES: readonly Route[] = [
  ...agentRoutes,
  ...holdingRoutes,
  ...requestRoutes,
  ...revisionRoutes,
  ...lockRoutes,
  ...toolRoutes,
  ...inspectRoutes,
  ...auditRoutes,
  ...houseRoutes,
]
