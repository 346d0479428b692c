"""Fused voxel-wise cross-entropy: loss, gradient and confusion matrix in one pass."""

from tomolift.ops import reference as reference
from tomolift.ops._argmax import upsampled_argmax as upsampled_argmax
from tomolift.ops._confusion import dice as dice
from tomolift.ops._confusion import iou as iou
from tomolift.ops._confusion import mean_iou as mean_iou
from tomolift.ops._dense import voxel_cross_entropy as voxel_cross_entropy
from tomolift.ops._faults import check_deferred_labels as check_deferred_labels
from tomolift.ops._native import build_info as build_info
from tomolift.ops._upsampled import upsampled_cross_entropy as upsampled_cross_entropy
