/** What the page uses of ComfyUI's frontend, for `tsc`. The modules themselves are served by the host. */

declare module "*/scripts/app.js" {
  export const app: ComfyApp
}

declare module "*/scripts/api.js" {
  export const api: ComfyApi
}

interface ComfyApi {
  addEventListener(event: string, listener: (event: CustomEvent) => void): void
  fetchApi(route: string): Promise<Response>
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
  nodeCreated?(node: LGraphNode): void
  afterConfigureGraph?(): void
  onNodeOutputsUpdated?(outputs: Record<string, Record<string, unknown>>): void
}

interface LGraphCanvas {
  graph: LGraph | null
  setGraph(graph: LGraph): void
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
  getNodeById(id: NodeId): LGraphNode | null
  getLink(id: number | undefined): LLink | undefined
  setDirtyCanvas(foreground: boolean, background: boolean): void
}

type NodeId = number | string

interface LLink {
  origin_id: NodeId
  origin_slot: number
}

interface LGraphNode {
  id: NodeId
  type: string
  comfyClass: string
  mode: number
  size: [number, number]
  graph: LGraph | null
  subgraph?: LGraph
  isVirtualNode?: boolean
  inputs: { name: string; type: string; link?: number | null; widget?: { name: string } }[]
  outputs: { type: string }[]
  widgets?: Widget[]
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
