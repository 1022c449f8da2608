"""Slice and 3D views drawn off screen, with Slicer's own displayable managers and slice logic.

Each view is a pair as in Slicer: a *widget* (which knows the logic and the MRML nodes) and, inside it, a *view* (which
knows the render window). The render window is made when it is first asked for: tests that draw nothing need no OpenGL.
"""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
DEFAULT_SIZE = (400, 400)


class _View:
    """A render window with the displayable managers of one MRML view node."""

    def __init__(
        self,
        node: slicer.vtkMRMLAbstractViewNode,
        factory: vtk.vtkObject,
        managers: tuple[str, ...],
        ground: vtk.vtkProp | None = None,
    ) -> None:
        self._node = node
        self._renderer = vtk.vtkRenderer()
        if ground is not None:  # before the managers draw what the scene holds already, or it would lie over black
            self._renderer.AddViewProp(ground)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(0)
        self._window.SetSize(*DEFAULT_SIZE)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.Initialize(factory, self._renderer)
        self._group.SetMRMLDisplayableNode(node)

    def renderWindow(self) -> vtk.vtkRenderWindow:
        return self._window

    def interactor(self) -> vtk.vtkRenderWindowInteractor:
        return self._interactor

    def renderer(self) -> vtk.vtkRenderer:
        return self._renderer

    def displayableManagerByClassName(self, className: str) -> slicer.vtkMRMLAbstractDisplayableManager | None:
        return self._group.GetDisplayableManagerByClassName(className)

    def scheduleRender(self) -> None:
        """Rendering happens when a picture is taken or forceRender is called; there is no screen to keep fresh."""

    def forceRender(self) -> None:
        self._window.Render()

    def pixels(self) -> np.ndarray:
        """Render, and return the picture, (rows from the top, columns, RGB), uint8. Not a method of Slicer's views."""
        self.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.ShouldRerenderOff()
        grabber.Update()
        image = grabber.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3].copy()


class SliceView(_View):
    """`layoutManager.sliceWidget(name).sliceView()`."""

    def __init__(self, logic: slicer.vtkMRMLSliceLogic) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        # The logic hands over a finished RGBA picture, so the mapper must leave its values as they are.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        super().__init__(logic.GetSliceNode(), factory, SLICE_MANAGERS, self._image)
        self._logic = logic
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(logic)
        self._style.SetDisplayableManagers(self._group)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style.SetInteractor(self._interactor)
        self.resize(*DEFAULT_SIZE)

    def sliceViewInteractorStyle(self) -> slicer.vtkMRMLSliceViewInteractorStyle:
        """Answers mouse events of interactor() as Slicer does: crosshair position, scrolling, markups."""
        return self._style

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._node

    def resize(self, width: int, height: int) -> None:
        self._window.SetSize(width, height)
        self._interactor.UpdateSize(width, height)
        self._logic.ResizeSliceNode(width, height)

    def forceRender(self) -> None:
        connection = self._logic.GetImageDataConnection()
        self._image.SetVisibility(connection is not None)
        self._mapper.SetInputConnection(connection)
        super().forceRender()

    def convertRASToXYZ(self, ras: list[float]) -> list[float]:
        to_ras = self._node.GetXYToRAS()
        from_ras = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(to_ras, from_ras)
        return list(from_ras.MultiplyPoint((*ras, 1.0))[:3])

    def convertXYZToRAS(self, xyz: list[float]) -> list[float]:
        return list(self._node.GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])


class SliceWidget:
    """`layoutManager.sliceWidget(name)`: the slice logic at once, the view when it is first asked for."""

    def __init__(self, node: slicer.vtkMRMLSliceNode) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(node)
        self._logic.ResizeSliceNode(*DEFAULT_SIZE)
        self._view: SliceView | None = None

    @property
    def sliceOrientation(self) -> str:
        return self.mrmlSliceNode().GetOrientation()

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._logic

    def sliceView(self) -> SliceView:
        if self._view is None:
            self._view = SliceView(self._logic)
        return self._view

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class ThreeDView(_View):
    """`layoutManager.threeDWidget(0).threeDView()`."""

    def __init__(self, node: slicer.vtkMRMLViewNode) -> None:
        super().__init__(node, slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), THREE_D_MANAGERS)
        self._renderer.GradientBackgroundOn()
        # Without peeling llvmpipe draws translucent surfaces in the order of their nodes.
        self._renderer.SetUseDepthPeeling(True)
        self._window.SetAlphaBitPlanes(True)

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._node

    def resize(self, width: int, height: int) -> None:
        self._window.SetSize(width, height)
        self._interactor.UpdateSize(width, height)

    def resetFocalPoint(self) -> None:
        """Look at the middle of what is visible, with all of it and the box around it in view."""
        self._renderer.ResetCamera()
        self._renderer.GetActiveCamera().Dolly(1.35)  # ResetCamera leaves room for the sphere around the box
        self._renderer.ResetCameraClippingRange()

    def resetCamera(self) -> None:
        self._renderer.ResetCamera()


class ThreeDWidget:
    """`layoutManager.threeDWidget(0)`."""

    def __init__(self, node: slicer.vtkMRMLViewNode) -> None:
        self._node = node
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.AddViewNode(node.GetLayoutName())  # finds the node of this name
        self._view: ThreeDView | None = None

    def viewLogic(self) -> slicer.vtkMRMLViewLogic:
        return self._logic

    def threeDView(self) -> ThreeDView:
        if self._view is None:
            self._view = ThreeDView(self._node)
        return self._view

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._node
