"""Paired statistics over cases, seeds and folds: numpy alone, no torch."""

from ._bootstrap import hierarchical_bootstrap as hierarchical_bootstrap
from ._bootstrap import percentile_interval as percentile_interval
from ._confusion import class_dice as class_dice
from ._confusion import class_iou as class_iou
from ._confusion import mean_iou as mean_iou
from ._confusion import mean_of_present as mean_of_present
from ._fold_test import FoldTest as FoldTest
from ._fold_test import corrected_fold_test as corrected_fold_test
from ._holm import holm as holm
from ._sign_flip import SignFlip as SignFlip
from ._sign_flip import sign_flip_test as sign_flip_test
