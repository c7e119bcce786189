/** What the page uses of ComfyUI's frontend, for `tsc`. The modules themselves are served by the host. */

declare module "*/scripts/app.js" {
  export const app: ComfyApp
}

declare module "*/scripts/api.js" {
  export const api: ComfyApi
}

declare const LiteGraph: {
  createNode(type: string): LGraphNode | null
}

interface ComfyApi {
  addEventListener(event: string, listener: (event: CustomEvent) => void): void
  fetchApi(route: string, options?: RequestInit): Promise<Response>
  apiURL(route: string): string
}

interface ComfyApp {
  rootGraph: LGraph
  canvas: LGraphCanvas
  loadApiJson(prompt: object, name: string): void
  registerExtension(extension: ComfyExtension): void
}

interface ComfyExtension {
  name: string
  setup?(): void
  beforeRegisterNodeDef?(type: unknown, definition: NodeDefinition): void
  nodeCreated?(node: LGraphNode): void
  getNodeMenuItems?(node: LGraphNode): MenuItem[]
  afterConfigureGraph?(): void
  onNodeOutputsUpdated?(outputs: Record<string, Record<string, unknown>>): void
}

interface NodeDefinition {
  name: string
  input?: Record<string, Record<string, [unknown, Record<string, unknown>?]>>
}

interface MenuItem {
  content: string
  disabled?: boolean
  callback(): void
}

interface LGraphCanvas {
  graph: LGraph | null
  setGraph(graph: LGraph): void
  setDirty(foreground: boolean, background: boolean): void
  emitBeforeChange(): void
  emitAfterChange(): void
}

/** A graph, or a subgraph, which has nodes of its own for its inputs and outputs. */
interface LGraph {
  id: string
  nodes: LGraphNode[]
  subgraphs?: Map<string, LGraph>
  inputNode?: { id: NodeId }
  outputs: { linkIds: number[] }[]
  add(node: LGraphNode): void
  getNodeById(id: NodeId): LGraphNode | null
  getLink(id: number | undefined): LLink | undefined
  setDirtyCanvas(foreground: boolean, background: boolean): void
}

type NodeId = number | string

interface LLink {
  origin_id: NodeId
  origin_slot: number
  target_id: NodeId
  target_slot: number
}

interface LGraphNode {
  constructor: {
    nodeData?: { input?: Record<string, Record<string, [unknown, Record<string, unknown>?]> | undefined> }
  }
  id: NodeId
  type: string
  title: string
  comfyClass: string
  pos: [number, number]
  mode: number
  size: [number, number]
  graph: LGraph | null
  subgraph?: LGraph
  isVirtualNode?: boolean
  inputs: { name: string; type: string; link?: number | null; widget?: { name: string } }[]
  outputs: { type: string; links: number[] | null }[]
  widgets?: Widget[]
  connect(slot: number, target: LGraphNode, targetSlot: number): void
  disconnectInput(slot: number): void
  computeSize(): [number, number]
  setSize(size: [number, number]): void
  addDOMWidget(name: string, type: string, element: HTMLElement, options: object): Widget
}

interface Widget {
  name: string
  label?: string
  tooltip?: string
  value: unknown
  serialize?: boolean
  callback?(value: unknown, canvas?: LGraphCanvas, node?: LGraphNode): void
}
