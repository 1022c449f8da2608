"""Stand-ins for qMRMLWidget and qMRMLNodeComboBox."""

from typing import Any

from PySide6 import QtWidgets

from .base import Watch, emit, fill, standin

ADD, RENAME, REMOVE = "<add>", "<rename>", "<remove>"


@standin(QtWidgets.QWidget)
class qMRMLWidget:
    """The root of a panel: it hands its scene on by the connections of the .ui file."""

    def _setup(self) -> None:
        pass


@standin(QtWidgets.QWidget)
class qMRMLNodeComboBox:
    """Chooses one node of the scene among those of the given classes."""

    def _setup(self) -> None:
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        fill(self, self._combo)
        self._current = None
        self._attributes = {}
        self._labels = {}
        self._watch = Watch(self, "_refresh")
        self._listed = []
        self._combo.activated.connect(self._activated)
        self._refresh()

    def _filter(name: str) -> Any:
        def write(self: Any, value: Any) -> None:
            self._values[name] = value
            self._refresh()

        return write

    _set_nodeTypes = _filter("nodeTypes")
    _set_noneEnabled = _filter("noneEnabled")
    _set_noneDisplay = _filter("noneDisplay")
    _set_addEnabled = _filter("addEnabled")
    _set_removeEnabled = _filter("removeEnabled")
    _set_renameEnabled = _filter("renameEnabled")
    _set_showHidden = _filter("showHidden")
    _set_showChildNodeTypes = _filter("showChildNodeTypes")
    _set_hideChildNodeTypes = _filter("hideChildNodeTypes")
    del _filter

    def _get_currentNodeID(self) -> str:
        return self._current.GetID() if self._current is not None else ""

    def _set_currentNodeID(self, value: str) -> None:
        self.setCurrentNode(value)

    _get_currentNodeId = _get_currentNodeID
    _set_currentNodeId = _set_currentNodeID

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes.setdefault(node_type, {})[name] = value
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes.get(node_type, {}).pop(name, None)
        self._refresh()

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._labels[node_type] = label
        self._refresh()

    def nodeTypeLabel(self, node_type: str) -> str:
        scene = self.mrmlScene()
        made = scene.CreateNodeByClass(node_type) if scene is not None else None
        if made is not None:
            made.UnRegister(None)
        return self._labels.get(node_type) or (made.GetNodeTagName() if made is not None else "")

    def currentNode(self) -> Any:
        return self._current

    def currentNodeId(self) -> str:
        return self.currentNodeID

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int) -> Any:
        index -= self.noneEnabled
        return self._listed[index] if 0 <= index < len(self._listed) else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self.mrmlScene().GetNodeByID(node) if node and self.mrmlScene() is not None else None
        if node is not None and node not in self._listed:
            return
        if node is None and not self.noneEnabled and self._listed:
            node = None  # as in Slicer: nothing is shown until something is chosen
        self._choose(node)

    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(node_id)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._choose(self.nodeFromIndex(index))

    def addNode(self, node_type: str = "") -> Any:
        scene = self.mrmlScene()
        node_type = node_type or self.nodeTypes[0]
        node = scene.CreateNodeByClass(node_type)
        node.UnRegister(None)
        node.SetName(scene.GetUniqueNameByString(self.baseName or node.GetNodeTagName()))
        scene.AddNode(node)
        for signature in ("nodeAddedByUser(vtkMRMLNode*)", "nodeAddedByUserAction(vtkMRMLNode*)"):
            emit(self, signature, node)
        if self.selectNodeUponCreation:
            self._refresh()
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self) -> None:
        node = self._current
        if node is not None:
            emit(self, "nodeAboutToBeRemoved(vtkMRMLNode*)", node)
            self.mrmlScene().RemoveNode(node)

    def renameCurrentNode(self) -> None:
        node = self._current
        if node is None:
            return
        name = QtWidgets.QInputDialog.getText(self, "Rename", "New name:", QtWidgets.QLineEdit.Normal, node.GetName())
        if name:
            node.SetName(name)
            emit(self, "currentNodeRenamed(QString)", name)

    def emitCurrentNodeChanged(self) -> None:
        self._tell()

    def _scene_changed(self, scene: Any) -> None:
        self._watch.clear()
        self._current = None
        self._refresh()

    def _matches(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        for node_type in self.nodeTypes:
            same = node.IsA(node_type) if self.showChildNodeTypes else node.GetClassName() == node_type
            hidden = any(node.IsA(other) for other in self.hideChildNodeTypes)
            wanted = self._attributes.get(node_type, {})
            fits = all(
                node.GetAttribute(name) is not None if value is None else node.GetAttribute(name) == str(value)
                for name, value in wanted.items()
            )
            if same and fits and not hidden:
                return True
        return False

    def _refresh(self) -> None:
        """List the scene's nodes again, keep the choice where it still exists, and watch what may change the list."""
        scene = self.mrmlScene()
        if scene is not None and scene.IsBatchProcessing():
            return
        everything = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())] if scene is not None else []
        nodes = [node for node in everything if self._matches(node)]
        fresh = [node for node in nodes if node not in self._listed]
        self._listed = nodes
        self._watch.clear()
        if scene is not None:
            self._watch.observe(scene, scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent)
        for node in nodes:
            self._watch.observe(node, "ModifiedEvent")
        self._fill_combo()
        keep = self._current if self._current in nodes else None
        if keep is None and nodes and not self.noneEnabled:
            keep = nodes[0]
        self._choose(keep)
        for node in fresh:
            emit(self, "nodeAdded(vtkMRMLNode*)", node)

    def _fill_combo(self) -> None:
        combo = self._combo
        combo.blockSignals(True)
        combo.clear()
        if self.noneEnabled:
            combo.addItem(self.noneDisplay, "")
        for node in self._listed:
            combo.addItem(node.GetName() or "", node.GetID() or "")
        kinds = " or ".join(self.nodeTypeLabel(node_type) for node_type in self.nodeTypes)
        combo.placeholderText = f"Select a {kinds}" if kinds else ""
        deeds = [(ADD, f"Create new {self.nodeTypeLabel(t)}", t) for t in self.nodeTypes if self.addEnabled]
        chosen = self._current is not None
        deeds += [(RENAME, "Rename current node", "")] if self.renameEnabled and chosen else []
        deeds += [(REMOVE, "Delete current node", "")] if self.removeEnabled and chosen else []
        if deeds and self.mrmlScene() is not None:
            combo.insertSeparator(combo.count)
            for deed, text, node_type in deeds:
                combo.addItem(text, deed + node_type)
        combo.blockSignals(False)

    def _choose(self, node: Any) -> None:
        changed = node is not self._current
        self._current = node
        if changed:
            self._fill_combo()
        self._combo.setCurrentIndex(self._combo.findData(node.GetID() if node is not None else ""))
        if changed:
            self._tell()

    def _tell(self) -> None:
        emit(self, "currentNodeChanged(vtkMRMLNode*)", self._current)
        emit(self, "currentNodeChanged(bool)", self._current is not None)
        emit(self, "currentNodeIDChanged(QString)", self.currentNodeID)

    def _activated(self, index: int) -> None:
        data = self._combo.itemData(index)
        if data.startswith(ADD):
            self.addNode(data[len(ADD) :])
        elif data == RENAME:
            self.renameCurrentNode()
        elif data == REMOVE:
            self.removeCurrentNode()
        else:
            self.setCurrentNode(data)
            emit(self, "nodeActivated(vtkMRMLNode*)", self._current)
        self._combo.setCurrentIndex(self._combo.findData(self.currentNodeID))
